#include "formats/pickled_tensors.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <variant>

#include "base/error.h"

namespace gaggle {
namespace {

struct Value;
struct Mark {};
struct None {};
struct Global {
  std::string name;  // "torch._utils._rebuild_tensor_v2"
};
struct Tuple {
  std::vector<const Value*> items;
};
struct Dictionary {
  std::vector<std::pair<const Value*, const Value*>> items;
};
struct Storage {
  std::string_view key;
  DType dtype;
  int64_t count;
};
struct Value {
  std::variant<Mark, None, bool, int64_t, double, std::string_view, Global, Tuple, Dictionary, Storage, PickledTensor>
      content;
};

const std::map<std::string, DType, std::less<>> storage_types = {
    {"torch.DoubleStorage", DType::f64},    {"torch.FloatStorage", DType::f32}, {"torch.HalfStorage", DType::f16},
    {"torch.BFloat16Storage", DType::bf16}, {"torch.LongStorage", DType::i64},  {"torch.IntStorage", DType::i32},
    {"torch.ShortStorage", DType::i16},     {"torch.CharStorage", DType::i8},   {"torch.ByteStorage", DType::u8},
    {"torch.BoolStorage", DType::boolean}};
constexpr std::string_view ordered_dictionary = "collections.OrderedDict";
constexpr std::string_view rebuild_tensor = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view rebuild_parameter = "torch._utils._rebuild_parameter";

// Far beyond any model. A byte of a pickle makes a value of some hundred bytes, and a few bytes make a tensor.
constexpr size_t largest_pickle = size_t{8} << 20, most_dimensions = 16;

// Values live in one arena: what refers to what, itself included, never matters to their end.
struct Machine {
  std::span<const std::byte> rest;
  const std::string& file;
  std::vector<std::unique_ptr<Value>> arena = {};
  std::vector<Value*> stack = {};
  std::map<uint32_t, Value*> memo = {};

  [[noreturn]] void torn() const { user_error("{}: its pickle is torn", file); }

  std::span<const std::byte> take(size_t count) {
    if (count > rest.size()) torn();
    const auto bytes = rest.first(count);
    rest = rest.subspan(count);
    return bytes;
  }
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view text(size_t count) {
    const auto bytes = take(count);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::string line() {
    const auto end = std::ranges::find(rest, std::byte{'\n'});
    const std::string line(text(static_cast<size_t>(end - rest.begin())));
    take(1);
    return line;
  }

  template <class T>
  void push(T value) {
    arena.push_back(std::make_unique<Value>(Value{std::move(value)}));
    stack.push_back(arena.back().get());
  }
  Value* top() const {
    if (stack.empty()) torn();
    return stack.back();
  }
  template <class T>
  const T& as(const Value* value, const char* what) const {
    const T* content = value ? std::get_if<T>(&value->content) : nullptr;
    if (!content) user_error("{}: its pickle has something else where {} is expected", file, what);
    return *content;
  }
  template <class T>
  const T& pop(const char* what) {
    const T& content = as<T>(top(), what);
    stack.pop_back();
    return content;
  }
  std::vector<const Value*> last(size_t count) {
    if (count > stack.size()) torn();
    std::vector<const Value*> items(stack.end() - static_cast<std::ptrdiff_t>(count), stack.end());
    stack.resize(stack.size() - count);
    return items;
  }
  std::vector<const Value*> since_mark() {
    size_t count = 0;
    while (count < stack.size() && !std::holds_alternative<Mark>(stack[stack.size() - 1 - count]->content)) ++count;
    if (count == stack.size()) torn();
    std::vector<const Value*> items = last(count);
    stack.pop_back();
    return items;
  }

  void push_long() {
    const size_t bytes = number<uint8_t>();
    if (bytes > sizeof(int64_t)) user_error("{}: a number of {} bytes in its pickle", file, bytes);
    int64_t value = 0;
    std::memcpy(&value, take(bytes).data(), bytes);
    if (bytes > 0 && bytes < sizeof(int64_t) && (value >> (8 * bytes - 1) & 1)) value -= int64_t{1} << (8 * bytes);
    push(value);
  }

  void push_global(const std::string& name) {
    if (name != ordered_dictionary && name != rebuild_tensor && name != rebuild_parameter &&
        !storage_types.contains(name))
      user_error(
          "{}: its pickle wants to use {}; only tensors, storages and ordered dictionaries are read: refused, "
          "nothing was executed",
          file, name);
    push(Global{name});
  }
  void push_written_global() {
    const std::string module = line(), name = line();
    push_global(module + "." + name);
  }
  void push_stacked_global() {
    const std::string name(pop<std::string_view>("a name"));
    push_global(std::string(pop<std::string_view>("a module")) + "." + name);
  }

  void remember(uint32_t place) { memo[place] = top(); }
  void recall(uint32_t place) {
    const auto found = memo.find(place);
    if (found == memo.end()) torn();
    stack.push_back(found->second);
  }

  void set_items(const std::vector<const Value*>& items) {
    auto* dictionary = std::get_if<Dictionary>(&top()->content);
    if (!dictionary || items.size() % 2 != 0) torn();
    for (size_t i = 0; i < items.size(); i += 2) dictionary->items.emplace_back(items[i], items[i + 1]);
  }

  template <class T>
  const T& argument(const Tuple& tuple, size_t place, const char* what) const {
    return as<T>(place < tuple.items.size() ? tuple.items[place] : nullptr, what);
  }

  // ("storage", type, key, device, count)
  void push_storage() {
    const auto& id = pop<Tuple>("a storage");
    if (argument<std::string_view>(id, 0, "a storage") != "storage") torn();
    const auto type = storage_types.find(argument<Global>(id, 1, "a type of storage").name);
    if (type == storage_types.end()) torn();
    push(Storage{argument<std::string_view>(id, 2, "a storage's key"), type->second,
                 argument<int64_t>(id, 4, "a storage's size")});
  }

  std::vector<int64_t> numbers(const Tuple& tuple) const {
    if (tuple.items.size() > most_dimensions)
      user_error("{}: a tensor of {} dimensions; at most {} are read", file, tuple.items.size(), most_dimensions);
    std::vector<int64_t> all;
    for (size_t i = 0; i < tuple.items.size(); ++i) all.push_back(argument<int64_t>(tuple, i, "a size"));
    return all;
  }

  void call() {
    const auto& arguments = pop<Tuple>("arguments");
    const auto& what = pop<Global>("what is made");
    if (what.name == ordered_dictionary) {
      if (!arguments.items.empty()) user_error("{}: an ordered dictionary of an unknown form", file);
      return push(Dictionary{});
    }
    if (what.name == rebuild_parameter) return push(argument<PickledTensor>(arguments, 0, "a tensor"));
    if (what.name != rebuild_tensor) user_error("{}: its pickle calls {}: refused", file, what.name);
    const auto& storage = argument<Storage>(arguments, 0, "a storage");
    push(PickledTensor{"", storage.key, storage.dtype, storage.count, argument<int64_t>(arguments, 1, "an offset"),
                       numbers(argument<Tuple>(arguments, 2, "a shape")),
                       numbers(argument<Tuple>(arguments, 3, "strides"))});
  }
};

struct Opcode {
  unsigned char code;
  void (*run)(Machine& m);
};
constexpr Opcode opcodes[] = {{0x80, [](Machine& m) { m.take(1); }},  // the protocol's number
                              {0x95, [](Machine& m) { m.take(8); }},  // a frame's length
                              {'(', [](Machine& m) { m.push(Mark{}); }},
                              {'N', [](Machine& m) { m.push(None{}); }},
                              {0x88, [](Machine& m) { m.push(true); }},
                              {0x89, [](Machine& m) { m.push(false); }},
                              {'K', [](Machine& m) { m.push(int64_t{m.number<uint8_t>()}); }},
                              {'M', [](Machine& m) { m.push(int64_t{m.number<uint16_t>()}); }},
                              {'J', [](Machine& m) { m.push(int64_t{m.number<int32_t>()}); }},
                              {0x8a, [](Machine& m) { m.push_long(); }},
                              {'G', [](Machine& m) { m.push(m.number<double>()); }},
                              {'X', [](Machine& m) { m.push(m.text(m.number<uint32_t>())); }},
                              {0x8c, [](Machine& m) { m.push(m.text(m.number<uint8_t>())); }},
                              {'U', [](Machine& m) { m.push(m.text(m.number<uint8_t>())); }},
                              {'c', [](Machine& m) { m.push_written_global(); }},
                              {0x93, [](Machine& m) { m.push_stacked_global(); }},
                              {')', [](Machine& m) { m.push(Tuple{}); }},
                              {0x85, [](Machine& m) { m.push(Tuple{m.last(1)}); }},
                              {0x86, [](Machine& m) { m.push(Tuple{m.last(2)}); }},
                              {0x87, [](Machine& m) { m.push(Tuple{m.last(3)}); }},
                              {'t', [](Machine& m) { m.push(Tuple{m.since_mark()}); }},
                              {'}', [](Machine& m) { m.push(Dictionary{}); }},
                              {'s', [](Machine& m) { m.set_items(m.last(2)); }},
                              {'u', [](Machine& m) { m.set_items(m.since_mark()); }},
                              {'q', [](Machine& m) { m.remember(m.number<uint8_t>()); }},
                              {'r', [](Machine& m) { m.remember(m.number<uint32_t>()); }},
                              {0x94, [](Machine& m) { m.remember(static_cast<uint32_t>(m.memo.size())); }},
                              {'h', [](Machine& m) { m.recall(m.number<uint8_t>()); }},
                              {'j', [](Machine& m) { m.recall(m.number<uint32_t>()); }},
                              {'Q', [](Machine& m) { m.push_storage(); }},
                              {'R', [](Machine& m) { m.call(); }},
                              {'b', [](Machine& m) { m.last(1), m.top(); }}};  // attributes of a dictionary (_metadata)

const Value& run(Machine& machine) {
  while (true) {
    const auto code = machine.number<unsigned char>();
    if (code == '.') return *machine.top();
    const auto* opcode = std::ranges::find(opcodes, code, &Opcode::code);
    if (opcode == std::end(opcodes))
      user_error("{}: opcode 0x{:02x} has no place in a dictionary of tensors: refused", machine.file, code);
    opcode->run(machine);
  }
}

}  // namespace

std::vector<PickledTensor> read_pickled_tensors(std::span<const std::byte> pickle, const std::string& file) {
  if (pickle.size() > largest_pickle)
    user_error("{}: a pickle of {} bytes; at most {} are read", file, pickle.size(), largest_pickle);
  Machine machine{pickle, file};
  const auto* dictionary = std::get_if<Dictionary>(&run(machine).content);
  if (!dictionary) user_error("{}: it holds no dictionary of tensors", file);
  std::vector<PickledTensor> tensors;
  for (const auto& [key, value] : dictionary->items) {
    const auto* name = std::get_if<std::string_view>(&key->content);
    const auto* tensor = std::get_if<PickledTensor>(&value->content);
    if (!name || !tensor) user_error("{}: its dictionary holds something besides tensors by name", file);
    tensors.push_back(*tensor);
    tensors.back().name = *name;
  }
  return tensors;
}

}  // namespace gaggle
