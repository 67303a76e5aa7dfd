#!/bin/sh
# The augmentation kernel asks for the next item's lines ahead of its turn. GCC drops calls of a
# function that does nothing else; nothing but the time of large batches shows that.
# Arguments: object files.
set -eu
for object in "$@"; do
    case $object in *augment.cpp.o) ;; *) continue ;; esac
    objdump -d "$object" | grep -qE 'prefetch|prfm' && exit 0
    echo "no prefetch in $object"
    exit 1
done
echo "no augment.cpp.o among the arguments"
exit 1
