// Elements of a tensor in memory or in a file, leaf by leaf, without Python.
#pragma once

#include <csetjmp>
#include <cstddef>
#include <cstdint>

namespace diffai {

// Where the bytes of one side are. `memory` is used if it is not null, else the file `descriptor`, from `offset` on,
// through a map or by positioned reads.
struct Source {
  const uint8_t *memory;
  int descriptor;
  bool mapped;
  int64_t offset;
};

// Bytes of a file that are mapped, or read, at one time: few enough to stay out of the count of resident memory,
// many enough that the calls do not matter.
constexpr int64_t WINDOW = 2 << 20;

// Hands out pieces of a source; each is valid until the next one is asked for.
class Reader {
 public:
  explicit Reader(const Source &source) : source_(source) {}
  Reader(const Reader &) = delete;
  ~Reader() { unmap(); }

  // Return `count` bytes from byte `begin` of the tensor on, or nullptr if they cannot be read. `stop` is where the
  // caller's interest ends; `buffer` holds at least `count` bytes.
  const uint8_t *bytes(int64_t begin, int64_t count, int64_t stop, uint8_t *buffer);

  // Return the same if it is at hand without reading, else nullptr.
  const uint8_t *ahead(int64_t begin, int64_t count) const {
    if (source_.memory) return source_.memory + begin;
    const int64_t place = source_.offset + begin;
    const bool at_hand = window_ && place >= window_begin_ && place + count <= window_begin_ + window_length_;
    return at_hand ? window_ + (place - window_begin_) : nullptr;
  }

 private:
  bool map(int64_t begin, int64_t stop);
  void unmap();

  Source source_;
  uint8_t *window_ = nullptr;  // begins on a page
  int64_t window_begin_ = 0;   // byte of the file
  int64_t window_length_ = 0;
};

// Reading a map fails with a signal when another program has shortened the file. Between `arm` and `disarm` such a
// signal of this thread jumps back to where `sigsetjmp` was called.
class Guard {
 public:
  static bool install();
  static sigjmp_buf *place();
  static void arm();
  static void disarm();
};

// Whether the file is on a file system known to be a disk, or memory, of this machine; elsewhere maps are slow, or
// fail when the other end changes the file.
bool is_on_local_disk(int descriptor);

// How two ranges of bytes compare.
enum Comparison { DIFFERENT = 0, EQUAL = 1, UNREADABLE = 2 };

Comparison compare_bytes(const Source &old_source, const Source &new_source, int64_t begin, int64_t stop,
                         uint8_t *old_buffer, uint8_t *new_buffer, int64_t buffer_size);

}  // namespace diffai
