"""Arguments as the library's messages have them, `missing='zero'`, as options."""

import re


def with_flags(message: str) -> str:
    """The message with `--missing='zero'`, `--column label=kind`, `--resume`."""
    from tsssl_fast.data.reading import NAMES

    message = re.sub(r"columns=\{'(\w+)': '?(.*?)'?\}", r"--column \1=\2", message)
    message = re.sub(r"\b(download|resume|overwrite)=True", r"--\1", message)
    named = re.compile(rf"(?<![\w-])({'|'.join(NAMES)})=")
    return named.sub(lambda found: f"--{found[1].replace('_', '-')}=", message)
