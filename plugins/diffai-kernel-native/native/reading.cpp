#include "reading.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/vfs.h>
#elif defined(__APPLE__)
#include <sys/mount.h>
#endif

#include <cerrno>
#include <cstring>

namespace diffai {

namespace {

thread_local sigjmp_buf jump_place;
thread_local volatile sig_atomic_t armed = 0;
struct sigaction previous_action;

// Only a signal that comes while this thread reads a map is ours; any other goes to whoever was there before.
void on_bus_error(int number, siginfo_t *info, void *context) {
  if (armed) {
    armed = 0;
    siglongjmp(jump_place, 1);
  }
  if (previous_action.sa_flags & SA_SIGINFO) {
    previous_action.sa_sigaction(number, info, context);
  } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
    previous_action.sa_handler(number);
  } else {
    signal(number, SIG_DFL);  // the instruction runs again, and ends the process as it would have
  }
}

int64_t page_size() {
  static const int64_t size = sysconf(_SC_PAGESIZE);
  return size;
}

bool read_fully(int descriptor, uint8_t *buffer, int64_t count, int64_t offset) {
  while (count > 0) {
    const ssize_t n = pread(descriptor, buffer, size_t(count), off_t(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    buffer += n;
    offset += n;
    count -= n;
  }
  return true;
}

}  // namespace

bool Guard::install() {
  struct sigaction current;
  if (sigaction(SIGBUS, nullptr, &current)) return false;
  if ((current.sa_flags & SA_SIGINFO) && current.sa_sigaction == on_bus_error) return true;
  struct sigaction ours;
  std::memset(&ours, 0, sizeof ours);
  ours.sa_sigaction = on_bus_error;
  ours.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
  previous_action = current;
  return !sigaction(SIGBUS, &ours, nullptr);
}

sigjmp_buf *Guard::place() { return &jump_place; }
void Guard::arm() { armed = 1; }
void Guard::disarm() { armed = 0; }

const uint8_t *Reader::bytes(int64_t begin, int64_t count, int64_t stop, uint8_t *buffer) {
  if (source_.memory) return source_.memory + begin;
  const int64_t place = source_.offset + begin;
  if (!source_.mapped) return read_fully(source_.descriptor, buffer, count, place) ? buffer : nullptr;
  if (!window_ || place < window_begin_ || place + count > window_begin_ + window_length_)
    if (!map(begin, begin + count > stop ? begin + count : stop)) return nullptr;
  return window_ + (place - window_begin_);
}

bool Reader::map(int64_t begin, int64_t stop) {
  unmap();
  const int64_t first = (source_.offset + begin) / page_size() * page_size();
  const int64_t last = source_.offset + (stop - begin > WINDOW ? begin + WINDOW : stop);
  // Beyond the end of a file its last page holds zeros, and no signal comes.
  struct stat status;
  if (fstat(source_.descriptor, &status) || status.st_size < last) return false;
  void *found = mmap(nullptr, size_t(last - first), PROT_READ, MAP_SHARED, source_.descriptor, off_t(first));
  if (found == MAP_FAILED) return false;
  window_ = static_cast<uint8_t *>(found);
  window_begin_ = first;
  window_length_ = last - first;
#if defined(POSIX_FADV_WILLNEED)
  posix_fadvise(source_.descriptor, off_t(last), off_t(WINDOW), POSIX_FADV_WILLNEED);  // read ahead of the next window
#endif
  return true;
}

void Reader::unmap() {
  if (window_) munmap(window_, size_t(window_length_));
  window_ = nullptr;
}

bool is_on_local_disk(int descriptor) {
#if defined(__linux__)
  // As the manual page statfs(2) lists them.
  constexpr uint32_t LOCAL[] = {
      0xEF53,      // ext2, ext3, ext4
      0x58465342,  // XFS
      0x9123683E,  // Btrfs
      0xF2F52010,  // F2FS
      0x2FC12FC1,  // ZFS
      0xCA451A4E,  // bcachefs
      0x794C7630,  // overlay
      0x01021994,  // tmpfs
      0x73717368,  // SquashFS
      0xE0F5E1E2,  // EROFS
  };
  struct statfs found;
  if (fstatfs(descriptor, &found)) return false;
  for (const uint32_t type : LOCAL)
    if (uint32_t(found.f_type) == type) return true;
  return false;
#elif defined(__APPLE__)
  struct statfs found;
  return !fstatfs(descriptor, &found) && (found.f_flags & MNT_LOCAL);
#else
  (void)descriptor;
  return false;
#endif
}

Comparison compare_bytes(const Source &old_source, const Source &new_source, int64_t begin, int64_t stop,
                         uint8_t *old_buffer, uint8_t *new_buffer, int64_t buffer_size) {
  Reader old_reader(old_source), new_reader(new_source);
  while (begin < stop) {
    const int64_t count = stop - begin < buffer_size ? stop - begin : buffer_size;
    const uint8_t *a = old_reader.bytes(begin, count, stop, old_buffer);
    const uint8_t *b = new_reader.bytes(begin, count, stop, new_buffer);
    if (!a || !b) return UNREADABLE;
    if (std::memcmp(a, b, size_t(count))) return DIFFERENT;
    begin += count;
  }
  return EQUAL;
}

}  // namespace diffai
