// The Python module: takes buffers and file descriptors, gives up the interpreter's lock, and measures.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <initializer_list>

#include "groups_state.hpp"
#include "histograms_state.hpp"
#include "instruction_set.hpp"
#include "lines_state.hpp"
#include "mantissa_state.hpp"
#include "reading.hpp"
#include "sparsity_state.hpp"
#include "ulp_state.hpp"

namespace diffai {
namespace {

// As the Python side packs it.
struct Request {
  Type old_type;
  Type new_type;
  Layout layout;
  int64_t one_source;  // the tensor is measured against itself
};

struct Memory {
  Scratch scratch;
  alignas(64) uint8_t raw[2][LEAF * 8];
};

// The statistics in the order in which their memory is passed, with what each needs at least.
struct Place {
  const char *name;
  size_t offset;
  size_t least;
};

const Place PLACES[] = {
    {"changes", offsetof(States, changes), sizeof(ChangesState)},
    {"counts", offsetof(States, counts), sizeof(CountsState)},
    {"moments", offsetof(States, moments), sizeof(MomentsState)},
    {"higher_moments", offsetof(States, higher), sizeof(HigherState)},
    {"norms", offsetof(States, norms), sizeof(NormsState)},
    {"extrema", offsetof(States, extrema), sizeof(ExtremaState)},
    {"histograms", offsetof(States, histograms), sizeof(HistogramsState)},
    {"mantissa", offsetof(States, mantissa), sizeof(MantissaState)},
    {"ulp", offsetof(States, ulp), sizeof(UlpState)},
    {"byte_planes", offsetof(States, byte_planes), sizeof(BytePlanesState)},
    {"rows", offsetof(States, rows), sizeof(LinesState)},
    {"columns", offsetof(States, columns), sizeof(LinesState)},
    {"groups", offsetof(States, groups), sizeof(GroupsState)},
    {"sparsity", offsetof(States, sparsity), sizeof(SparsityState)},
};
constexpr int N_STATISTICS = sizeof PLACES / sizeof PLACES[0];

// Unpack elements of 2, 4 or 6 bits into one byte each, the sign of integers in the whole byte.
void unpack(const Type &type, const uint8_t *packed, int64_t count, uint8_t *items) {
  const int bits = type.bits;
  const uint8_t mask = uint8_t((1 << bits) - 1);
  if (bits == 6) {
    for (int64_t i = 0; i + 4 <= count; i += 4, packed += 3) {
      const uint32_t word = packed[0] | uint32_t(packed[1]) << 8 | uint32_t(packed[2]) << 16;
      for (int k = 0; k < 4; k++) items[i + k] = uint8_t(word >> (6 * k)) & mask;
    }
    return;
  }
  const int per_byte = 8 / bits;
  const uint8_t sign = type.kind == Kind::integer ? uint8_t(1 << (bits - 1)) : 0;
  for (int64_t i = 0; i < count; i++)
    items[i] = uint8_t(((uint8_t(packed[i / per_byte] >> (bits * (i % per_byte))) & mask) ^ sign) - sign);
}

int64_t byte_of(const Type &type, int64_t element, bool packed) {
  return packed ? (element * type.bits + 7) / 8 : element * type.width;
}

// One side: its elements in memory are one per item, in a file they are packed.
class SideReader {
 public:
  SideReader(const Source &source, const Type &type, int64_t first, int64_t stop, Memory &memory, int slot)
      : reader_(source), type_(type), packed_(!source.memory), first_(source.memory ? first : 0), last_(stop),
        stop_(byte_of(type, stop - first_, packed_)), memory_(memory), slot_(slot) {}

  const uint8_t *words(int64_t start, int64_t count) {
    const int64_t begin = byte_of(type_, start - first_, packed_);
    const int64_t end = byte_of(type_, start - first_ + count, packed_);
    const uint8_t *found = reader_.bytes(begin, end - begin, stop_, memory_.raw[slot_]);
    if (!found || !packed_ || type_.bits >= 8) return found;
    unpack(type_, found, count, memory_.scratch.unpacked[slot_]);
    return memory_.scratch.unpacked[slot_];
  }

  // Return the elements from `start` on where they can be looked at already, else nullptr.
  const uint8_t *ahead(int64_t start, int64_t count) const {
    if (type_.bits < 8 || start + count > last_) return nullptr;
    return reader_.ahead(byte_of(type_, start - first_, packed_), count * type_.width);
  }

 private:
  Reader reader_;
  const Type &type_;
  const bool packed_;
  const int64_t first_;  // element at the begin of the memory
  const int64_t last_;   // element after the last one
  const int64_t stop_;
  Memory &memory_;
  const int slot_;
};

// Measure leaf after leaf; return how many were done. The rest begins with a leaf that cannot be read or is left to
// the reference kernel.
Py_ssize_t measure_leaves(Measure measure, const Request &request, States &states, const int64_t *leaves,
                          Py_ssize_t n_leaves, const Source &old_source, const Source &new_source, Memory &memory) {
  const int64_t first = leaves[0], stop = leaves[2 * n_leaves - 2] + leaves[2 * n_leaves - 1];
  volatile Py_ssize_t done = 0;
  SideReader old_reader(old_source, request.old_type, first, stop, memory, 0);
  SideReader new_reader(new_source, request.new_type, first, stop, memory, 1);
  const bool guarded = old_source.mapped || new_source.mapped;
  if (guarded && sigsetjmp(*Guard::place(), 0)) return done;
  if (guarded) Guard::arm();
  for (; done < n_leaves; done = done + 1) {
    Leaf leaf = {};
    leaf.start = leaves[2 * done];
    leaf.count = leaves[2 * done + 1];
    leaf.layout = &request.layout;
    leaf.scratch = &memory.scratch;
    leaf.old_side.type = &request.old_type;
    leaf.new_side.type = &request.new_type;
    leaf.new_side.slot = 1;
    leaf.same_type = request.old_type.same_as == request.new_type.same_as;
    leaf.old_side.words = old_reader.words(leaf.start, leaf.count);
    leaf.new_side.words = request.one_source ? leaf.old_side.words : new_reader.words(leaf.start, leaf.count);
    if (!leaf.old_side.words || !leaf.new_side.words) break;
    leaf.old_ahead = old_reader.ahead(leaf.start + leaf.count, leaf.count);
    leaf.new_ahead = new_reader.ahead(leaf.start + leaf.count, leaf.count);
    if (!measure(leaf, states)) break;
  }
  Guard::disarm();
  return done;
}

Comparison compare_guarded(const Source &old_source, const Source &new_source, int64_t count, Memory &memory) {
  const bool guarded = old_source.mapped || new_source.mapped;
  if (guarded && sigsetjmp(*Guard::place(), 0)) return UNREADABLE;
  if (guarded) Guard::arm();
  const Comparison found =
      compare_bytes(old_source, new_source, 0, count, memory.raw[0], memory.raw[1], int64_t(sizeof memory.raw[0]) / 2);
  Guard::disarm();
  return found;
}

// A bytes-like argument, let go of at the end of the call.
class Buffer {
 public:
  Buffer() { view_.obj = nullptr; }
  Buffer(const Buffer &) = delete;
  ~Buffer() {
    if (view_.obj) PyBuffer_Release(&view_);
  }
  bool take(PyObject *object, size_t least, bool writable, const char *what) {
    if (PyObject_GetBuffer(object, &view_, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE)) return false;
    if (size_t(view_.len) >= least) return true;
    PyErr_Format(PyExc_ValueError, "%s: %zd bytes where %zd are needed", what, view_.len, Py_ssize_t(least));
    return false;
  }
  template <class T>
  T *data() const {
    return static_cast<T *>(view_.buf);
  }
  Py_ssize_t size() const { return view_.len; }

 private:
  Py_buffer view_;
};

// Take a file descriptor, or an array with at least `least` bytes.
bool take_source(PyObject *object, long long offset, int mapped, size_t least, Buffer &buffer, Source &source) {
  source = {nullptr, -1, false, offset};
  if (PyLong_Check(object)) {
    source.descriptor = int(PyLong_AsLong(object));
    source.mapped = mapped && Guard::install();
    return !PyErr_Occurred();
  }
  if (!buffer.take(object, least, false, "elements")) return false;
  source.memory = buffer.data<const uint8_t>();
  return true;
}

// Take scratch memory of any alignment; nullptr if it is too small.
Memory *take_memory(PyObject *object, Buffer &buffer) {
  if (!buffer.take(object, sizeof(Memory) + alignof(Memory), true, "memory")) return nullptr;
  const uintptr_t place = reinterpret_cast<uintptr_t>(buffer.data<uint8_t>());
  return reinterpret_cast<Memory *>((place + alignof(Memory) - 1) / alignof(Memory) * alignof(Memory));
}

bool check_leaves(const int64_t *leaves, Py_ssize_t n_leaves) {
  int64_t next = n_leaves ? leaves[0] : 0;
  for (Py_ssize_t i = 0; i < n_leaves; i++) {
    if (leaves[2 * i] != next || leaves[2 * i] < 0 || leaves[2 * i + 1] < 1 || leaves[2 * i + 1] > LEAF) {
      PyErr_SetString(PyExc_ValueError, "leaves: not consecutive, or not of 1 to 32,768 elements");
      return false;
    }
    next += leaves[2 * i + 1];
  }
  return true;
}

PyObject *py_measure(PyObject *, PyObject *args) {
  const char *set_name;
  PyObject *request_object, *states_object, *leaves_object, *memory_object, *old_object, *new_object;
  long long old_offset, new_offset;
  int old_mapped, new_mapped;
  if (!PyArg_ParseTuple(args, "sOOOOOLpOLp", &set_name, &request_object, &states_object, &leaves_object, &memory_object,
                        &old_object, &old_offset, &old_mapped, &new_object, &new_offset, &new_mapped))
    return nullptr;
  const InstructionSet set = choose_instruction_set(set_name);
  if (!set.measure) return PyErr_Format(PyExc_ValueError, "no instruction set %s here", set_name);
  Buffer request, leaves, memory, old_buffer, new_buffer, buffers[N_STATISTICS];
  if (!request.take(request_object, sizeof(Request), false, "request") ||
      !leaves.take(leaves_object, 0, false, "leaves"))
    return nullptr;
  Memory *const scratch = take_memory(memory_object, memory);
  if (!scratch) return nullptr;
  const Py_ssize_t n_leaves = leaves.size() / Py_ssize_t(2 * sizeof(int64_t));
  if (!check_leaves(leaves.data<int64_t>(), n_leaves)) return nullptr;
  if (!n_leaves) return PyLong_FromLong(0);
  if (!PyTuple_Check(states_object) || PyTuple_Size(states_object) != N_STATISTICS) {
    PyErr_Format(PyExc_ValueError, "states: a tuple of %d is needed", N_STATISTICS);
    return nullptr;
  }
  States states = {};
  for (int i = 0; i < N_STATISTICS; i++) {
    PyObject *item = PyTuple_GetItem(states_object, i);
    if (item == Py_None) continue;
    if (!buffers[i].take(item, PLACES[i].least, true, PLACES[i].name)) return nullptr;
    void *data = buffers[i].data<void>();
    std::memcpy(reinterpret_cast<uint8_t *>(&states) + PLACES[i].offset, &data, sizeof data);
  }
  const Request &what = *request.data<const Request>();
  const int64_t n = leaves.data<int64_t>()[2 * n_leaves - 2] + leaves.data<int64_t>()[2 * n_leaves - 1] - leaves.data<int64_t>()[0];
  Source old_source, new_source;
  if (!take_source(old_object, old_offset, old_mapped, size_t(n * what.old_type.width), old_buffer, old_source) ||
      !take_source(new_object, new_offset, new_mapped, size_t(n * what.new_type.width), new_buffer, new_source))
    return nullptr;
  Py_ssize_t done;
  Py_BEGIN_ALLOW_THREADS;
  done = measure_leaves(set.measure, what, states, leaves.data<int64_t>(), n_leaves, old_source, new_source, *scratch);
  Py_END_ALLOW_THREADS;
  return PyLong_FromSsize_t(done);
}

PyObject *py_compare(PyObject *, PyObject *args) {
  PyObject *memory_object, *old_object, *new_object;
  long long old_offset, new_offset, count;
  int old_mapped, new_mapped;
  if (!PyArg_ParseTuple(args, "OOLpOLpL", &memory_object, &old_object, &old_offset, &old_mapped, &new_object,
                        &new_offset, &new_mapped, &count))
    return nullptr;
  Buffer memory, old_buffer, new_buffer;
  Source old_source, new_source;
  Memory *const scratch = take_memory(memory_object, memory);
  if (!scratch || !take_source(old_object, old_offset, old_mapped, size_t(count), old_buffer, old_source) ||
      !take_source(new_object, new_offset, new_mapped, size_t(count), new_buffer, new_source))
    return nullptr;
  Comparison found;
  Py_BEGIN_ALLOW_THREADS;
  found = compare_guarded(old_source, new_source, count, *scratch);
  Py_END_ALLOW_THREADS;
  return PyLong_FromLong(found);
}

PyObject *py_instruction_sets(PyObject *, PyObject *) {
  PyObject *names = PyList_New(0);
  for (const char *name : {"avx512", "avx2", "baseline"}) {
    if (!choose_instruction_set(name).measure) continue;
    PyObject *text = PyUnicode_FromString(name);
    const int failed = !names || !text || PyList_Append(names, text);
    Py_XDECREF(text);
    if (failed) {
      Py_XDECREF(names);
      return nullptr;
    }
  }
  return names;
}

PyObject *py_is_local(PyObject *, PyObject *descriptor) {
  const long number = PyLong_AsLong(descriptor);
  if (PyErr_Occurred()) return nullptr;
  return PyBool_FromLong(is_on_local_disk(int(number)));
}

PyMethodDef METHODS[] = {
    {"measure", py_measure, METH_VARARGS, "Add leaves to states; return how many leaves were done."},
    {"compare", py_compare, METH_VARARGS, "Compare bytes: 0 if they differ, 1 if they are equal, 2 if they cannot be read."},
    {"is_local", py_is_local, METH_O, "Whether a file is on a file system of this machine, where maps are fast."},
    {"instruction_sets", py_instruction_sets, METH_NOARGS, "Return the names of those this processor has, best first."},
    {nullptr, nullptr, 0, nullptr},
};

int add_constants(PyObject *module) {
  if (PyModule_AddIntConstant(module, "MEMORY_BYTES", long(sizeof(Memory) + alignof(Memory))) ||
      PyModule_AddStringConstant(module, "SOURCES", DIFFAI_SOURCES))
    return -1;
  PyObject *places = PyTuple_New(N_STATISTICS);
  if (!places) return -1;
  for (int i = 0; i < N_STATISTICS; i++) PyTuple_SetItem(places, i, PyUnicode_FromString(PLACES[i].name));
  return PyModule_AddObjectRef(module, "STATISTICS", places);
}

PyModuleDef_Slot SLOTS[] = {
    {Py_mod_exec, reinterpret_cast<void *>(add_constants)},
    {0, nullptr},
};

PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_native", "The fused statistics in C++.", 0, METHODS, SLOTS,
                      nullptr, nullptr, nullptr};

}  // namespace
}  // namespace diffai

PyMODINIT_FUNC PyInit__native() { return PyModuleDef_Init(&diffai::MODULE); }
