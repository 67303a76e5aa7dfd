// Threads of our own, for when torch's are kept from running: see README.md of this folder.
#pragma once

namespace tsssl {

// Calls body(context, thread) in the caller as thread 0 and in up to threads - 1 others, each once.
// Whoever has not begun when the caller returns from its own body does not begin any more: the
// caller waits for those inside alone. So a body takes tasks until none is left, whoever comes.
// False, and nothing called, where another thread of this process is using the pool.
bool run_in_pool(int threads, void (*body)(void*, int), void* context);

// In the child of a fork, which has none of its parent's OpenMP threads and would wait for them.
bool forked();

}  // namespace tsssl
