#include "pool.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
static inline void relax() { _mm_pause(); }
#elif defined(__aarch64__) && !defined(_MSC_VER)
static inline void relax() { asm volatile("yield"); }
#else
static inline void relax() { std::this_thread::yield(); }
#endif

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#endif

namespace cutaway {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kSpin = std::chrono::microseconds(50);  // then sleep: be polite to the rest of the machine
constexpr uint64_t kField = (1 << 20) - 1;
constexpr int64_t kMostChunks = 1 << 19;  // room for late threads to add to the counter in vain

// Calls `ready` until it says yes or the time to spin is over.
template <class F>
bool spin(F&& ready) {
  for (int i = 0; i < 64; i++) {
    if (ready()) return true;
    relax();
  }
  const auto end = Clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; i++) {
      if (ready()) return true;
      relax();
    }
  } while (Clock::now() < end);
  return ready();
}

struct alignas(64) Job {
  ChunkFunction function = nullptr;
  void* context = nullptr;
  int64_t n_chunks = 0;
  std::atomic<int64_t> done{0};
};

// Each thread has a run of chunks of its own, so that it reads weights in their order; who is done helps the others.
// What is left of a run lies in one word, epoch | end | next: whoever adds one to it owns that chunk of that epoch's
// job, and a thread that comes late finds either nothing left or the newer job, never a mixture.
class Pool {
 public:
  explicit Pool(int n) : n_(n), runs_(new Run[n]) {
    for (int i = 1; i < n; i++) std::thread([this, i] { work(i); }).detach();
  }

  // Lets the threads go. Whoever still has a job here finishes it alone.
  void end() {
    ended_.store(true, std::memory_order_seq_cst);
    { std::lock_guard<std::mutex> lock(mutex_); }
    wake_.notify_all();
  }

  bool try_run(int64_t n_chunks, ChunkFunction function, void* context) {
    std::unique_lock<std::mutex> owner(owner_, std::try_to_lock);
    if (!owner.owns_lock()) return false;
    const uint64_t epoch = ++epoch_;
    Job& job = jobs_[epoch & 1];
    job.function = function;
    job.context = context;
    job.n_chunks = n_chunks;
    job.done.store(0, std::memory_order_relaxed);
    for (int i = 0; i < n_; i++) {
      const uint64_t first = n_chunks * i / n_, end = n_chunks * (i + 1) / n_;
      runs_[i].left.store(epoch << 40 | end << 20 | first, std::memory_order_seq_cst);
    }
    if (sleeping_.load(std::memory_order_seq_cst) > 0) {
      { std::lock_guard<std::mutex> lock(mutex_); }
      wake_.notify_all();
    }
    take(0);
    if (!spin([&] { return job.done.load(std::memory_order_acquire) == n_chunks; })) {
      std::unique_lock<std::mutex> lock(mutex_);
      waiting_.store(true, std::memory_order_seq_cst);
      finished_.wait(lock, [&] { return job.done.load(std::memory_order_seq_cst) == n_chunks; });
      waiting_.store(false, std::memory_order_relaxed);
    }
    return true;
  }

 private:
  // Does chunks of the job at hand until none is left, those of its own run first.
  void take(int me) {
    for (int i = 0; i < n_; i++)
      while (take_one(runs_[(me + i) % n_].left)) {
      }
  }

  bool take_one(std::atomic<uint64_t>& left) {
    // look before adding: the counter must not overflow into its neighbour while threads wait for work
    const uint64_t seen = left.load(std::memory_order_acquire);
    if ((seen & kField) >= (seen >> 20 & kField)) return false;
    const uint64_t mine = left.fetch_add(1, std::memory_order_acq_rel);
    const int64_t chunk = mine & kField, end = mine >> 20 & kField;
    if (chunk >= end) return false;
    Job& job = jobs_[mine >> 40 & 1];
    const int64_t n_chunks = job.n_chunks;
    job.function(job.context, chunk);
    if (job.done.fetch_add(1, std::memory_order_seq_cst) + 1 == n_chunks &&
        waiting_.load(std::memory_order_seq_cst)) {
      { std::lock_guard<std::mutex> lock(mutex_); }
      finished_.notify_one();
    }
    return true;
  }

  bool something() const {
    for (int i = 0; i < n_; i++) {
      const uint64_t seen = runs_[i].left.load(std::memory_order_seq_cst);  // pairs with `sleeping_`: one is seen
      if ((seen & kField) < (seen >> 20 & kField)) return true;
    }
    return false;
  }

  bool ended() const { return ended_.load(std::memory_order_seq_cst); }

  void work(int me) {
    while (!ended()) {
      if (!spin([this] { return something() || ended(); })) {
        std::unique_lock<std::mutex> lock(mutex_);
        sleeping_.fetch_add(1, std::memory_order_seq_cst);
        wake_.wait(lock, [this] { return something() || ended(); });
        sleeping_.fetch_sub(1, std::memory_order_seq_cst);
      }
      take(me);
    }
  }

  std::mutex owner_;  // held by the caller whose job it is
  const int n_;
  uint64_t epoch_ = 0;
  struct alignas(64) Run {
    std::atomic<uint64_t> left{0};
  };
  std::unique_ptr<Run[]> runs_;
  Job jobs_[2];
  alignas(64) std::atomic<int> sleeping_{0};
  std::atomic<bool> waiting_{false}, ended_{false};
  std::mutex mutex_;
  std::condition_variable wake_, finished_;
};

int usable_cores() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  const int n = (int)std::thread::hardware_concurrency();
  return n > 0 ? n : 1;
}

std::mutex making;
std::atomic<Pool*> pool{nullptr};
std::atomic<int> wanted{0};

// A pool is never taken down: at exit its threads end with the process, and a fork leaves them behind.
Pool& the_pool() {
  Pool* found = pool.load(std::memory_order_acquire);
  if (found != nullptr) return *found;
  std::lock_guard<std::mutex> lock(making);
  if (pool.load() == nullptr) {
#ifdef __linux__
    static std::once_flag once;
    std::call_once(once, [] { pthread_atfork(nullptr, nullptr, [] { pool.store(nullptr); }); });
#endif
    pool.store(new Pool(threads()), std::memory_order_release);
  }
  return *pool.load();
}

}  // namespace

int threads() {
  const int n = wanted.load();
  if (n > 0) return n;
  const int cores = usable_cores();
  return cores < 8 ? cores : 8;
}

void set_threads(int n) {
  std::lock_guard<std::mutex> lock(making);
  if (wanted.exchange(n) == n) return;
  Pool* old = pool.exchange(nullptr);
  if (old != nullptr) old->end();  // but it stays: somebody may be on the way in
}

void run(int64_t n_chunks, ChunkFunction function, void* context) {
  if (n_chunks > 1 && n_chunks <= kMostChunks && threads() > 1 && the_pool().try_run(n_chunks, function, context)) return;
  for (int64_t chunk = 0; chunk < n_chunks; chunk++) function(context, chunk);
}

}  // namespace cutaway
