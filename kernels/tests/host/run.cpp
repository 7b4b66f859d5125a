// Runs kernels on the CPU: launches from stdin, and for each the buffers that it writes to stdout.
//
// A launch is a sequence of u32 in the machine's order: length of the name, blocks, threads, number of buffers, number of
// numbers; then the name; the length of each buffer in bytes, followed by its bytes; and the numbers, floats as their bits.
#include "cuda.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <vector>

#include "../../cuda/causal_conv.cu"
#undef DEFINE
#include "../../cuda/cross_entropy.cu"
#undef DEFINE
#include "../../cuda/normalize.cu"
#undef DEFINE
#include "../../cuda/pool.cu"
#undef DEFINE
#include "../../cuda/selective_scan.cu"
#undef DEFINE

thread_local Index threadIdx, blockIdx;
Index blockDim, gridDim;

// As many as a block of any kernel has; they are started once, which ThreadSanitizer takes its time for.
static const uint32_t MAX_THREADS = 256;

// Of all threads and the one that reads launches; of the threads of a block. Two each, which take turns: a thread that is late
// to leave a barrier would seem to have waited for what the others did before they came to the same one again.
static pthread_barrier_t start_barrier, end_barrier, block_barriers[2];
static thread_local uint32_t num_waits;

void __syncthreads() {
#ifndef WITHOUT_BARRIERS
  pthread_barrier_wait(&block_barriers[num_waits++ % 2]);
#endif
}

[[noreturn]] static void fail(const std::string &reason) {
  fprintf(stderr, "%s\n", reason.c_str());
  exit(2);
}

struct Buffer {
  // Of exactly this size, so that AddressSanitizer sees each access outside of it.
  std::unique_ptr<char[]> bytes;
  uint32_t num_bytes;
  bool is_output;
};

struct Launch {
  std::string name;
  uint32_t num_blocks, num_threads;
  std::vector<Buffer> buffers;
  std::vector<uint32_t> numbers;
};

static void read_exactly(void *to, size_t num_bytes) {
  if (fread(to, 1, num_bytes, stdin) != num_bytes) fail("the launch is cut off");
}

static Launch read_launch() {
  uint32_t header[5];
  if (fread(header, 1, sizeof header, stdin) == 0) exit(0);
  Launch launch{std::string(header[0], ' '), header[1], header[2], std::vector<Buffer>(header[3]), std::vector<uint32_t>(header[4])};
  read_exactly(launch.name.data(), launch.name.size());
  for (Buffer &buffer : launch.buffers) {
    read_exactly(&buffer.num_bytes, sizeof buffer.num_bytes);
    buffer.bytes.reset(new char[buffer.num_bytes]);
    read_exactly(buffer.bytes.get(), buffer.num_bytes);
  }
  read_exactly(launch.numbers.data(), launch.numbers.size() * sizeof(uint32_t));
  return launch;
}

// Hands out arguments in order: a pointer is the next buffer, anything else the next number.
struct Arguments {
  Launch &launch;
  size_t next_buffer = 0, next_number = 0;

  template <typename T> T next() {
    if constexpr (std::is_pointer_v<T>) {
      if (next_buffer == launch.buffers.size()) fail("too few buffers");
      Buffer &buffer = launch.buffers[next_buffer++];
      buffer.is_output = !std::is_const_v<std::remove_pointer_t<T>>;
      return (T)buffer.bytes.get();
    } else {
      static_assert(sizeof(T) == sizeof(uint32_t));
      if (next_number == launch.numbers.size()) fail("too few numbers");
      T value;
      memcpy(&value, &launch.numbers[next_number++], sizeof value);
      return value;
    }
  }
};

template <typename... T> static std::function<void()> bound(void (*kernel)(T...), Launch &launch) {
  Arguments arguments{launch};
  const std::tuple<T...> values{arguments.next<T>()...};
  if (arguments.next_buffer != launch.buffers.size() || arguments.next_number != launch.numbers.size())
    fail("too many arguments");
  return [=] { std::apply(kernel, values); };
}

#define WITH(TYPE, NAME) {#NAME #TYPE, [](Launch &launch) { return bound(NAME##TYPE, launch); }},
#define KERNEL(NAME) WITH(_f32, NAME) WITH(_f16, NAME) WITH(_bf16, NAME)
static const std::map<std::string, std::function<void()> (*)(Launch &)> kernels = {
    KERNEL(causal_conv) KERNEL(cross_entropy) KERNEL(normalize) KERNEL(pool) KERNEL(selective_scan)};

// The launch that the threads are to run next.
static Launch launch;
static std::function<void()> kernel;

static void run_launches(uint32_t thread) {
  threadIdx = {thread, 0, 0};
  for (;;) {
    pthread_barrier_wait(&start_barrier);
    num_waits = 0;
    for (uint32_t block = 0; thread < launch.num_threads && block < launch.num_blocks; block++) {
      blockIdx = {block, 0, 0};
      kernel();
      // The next block uses the same shared memory. Threads that share none are left to race from block to block.
      if (num_waits > 0) __syncthreads();
    }
    pthread_barrier_wait(&end_barrier);
  }
}

int main() {
  for (pthread_barrier_t *barrier : {&start_barrier, &end_barrier}) pthread_barrier_init(barrier, nullptr, MAX_THREADS + 1);
  for (uint32_t thread = 0; thread < MAX_THREADS; thread++) std::thread(run_launches, thread).detach();
  for (;;) {
    launch = read_launch();
    const auto found = kernels.find(launch.name);
    if (found == kernels.end()) fail("no kernel " + launch.name);
    if (launch.num_threads > MAX_THREADS) fail("too many threads in a block");
    kernel = found->second(launch);
    blockDim = {launch.num_threads, 1, 1};
    gridDim = {launch.num_blocks, 1, 1};
    for (pthread_barrier_t &barrier : block_barriers) pthread_barrier_init(&barrier, nullptr, launch.num_threads);
    // A barrier that not all threads of a block reach.
    alarm(60);
    pthread_barrier_wait(&start_barrier);
    pthread_barrier_wait(&end_barrier);
    alarm(0);
    for (pthread_barrier_t &barrier : block_barriers) pthread_barrier_destroy(&barrier);
    for (const Buffer &buffer : launch.buffers)
      if (buffer.is_output) fwrite(buffer.bytes.get(), 1, buffer.num_bytes, stdout);
    fflush(stdout);
  }
}
