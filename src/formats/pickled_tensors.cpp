#include "formats/pickled_tensors.h"

#include <cstring>
#include <map>
#include <memory>
#include <string_view>
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
  std::variant<Mark, None, bool, int64_t, double, std::string_view, Global, Tuple, Dictionary, Storage,
               PickledTensor>
      is;
};

const std::map<std::string, DType, std::less<>> storage_types = {
    {"torch.DoubleStorage", DType::f64}, {"torch.FloatStorage", DType::f32},
    {"torch.HalfStorage", DType::f16},   {"torch.BFloat16Storage", DType::bf16},
    {"torch.LongStorage", DType::i64},   {"torch.IntStorage", DType::i32},
    {"torch.ShortStorage", DType::i16},  {"torch.CharStorage", DType::i8},
    {"torch.ByteStorage", DType::u8},    {"torch.BoolStorage", DType::boolean}};
constexpr std::string_view ordered_dictionary = "collections.OrderedDict";
constexpr std::string_view rebuild_tensor = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view rebuild_parameter = "torch._utils._rebuild_parameter";

// Far beyond any model. A byte of a pickle makes a value of some hundred bytes, and a few bytes make a tensor.
constexpr size_t largest_pickle = size_t{8} << 20, most_dimensions = 16;

// Values live in one arena: what refers to what, itself included, never matters to their end.
class Machine {
 public:
  Machine(std::span<const std::byte> pickle, const std::string& file) : rest_(pickle), file_(file) {}

  const Value& run() {
    while (true) {
      const auto opcode = static_cast<unsigned char>(take(1)[0]);
      if (opcode == '.') return *top();
      step(opcode);
    }
  }

 private:
  void step(unsigned char opcode) {
    switch (opcode) {
      case 0x80:  // PROTO
        take(1);
        return;
      case 0x95:  // FRAME
        take(8);
        return;
      case '(':
        return push(Mark{});
      case 'N':
        return push(None{});
      case 0x88:
        return push(true);
      case 0x89:
        return push(false);
      case 'K':
        return push(static_cast<int64_t>(number<uint8_t>()));
      case 'M':
        return push(static_cast<int64_t>(number<uint16_t>()));
      case 'J':
        return push(static_cast<int64_t>(number<int32_t>()));
      case 0x8a:
        return push_long();
      case 'G':
        take(8);  // a number that no tensor has
        return push(0.0);
      case 'X':
        return push(text(number<uint32_t>()));
      case 0x8c:
      case 'U':
        return push(text(number<uint8_t>()));
      case 'c': {
        const std::string module = line(), name = line();
        return push_global(module + "." + name);
      }
      case 0x93: {
        const std::string name(pop<std::string_view>("a name"));
        return push_global(std::string(pop<std::string_view>("a module")) + "." + name);
      }
      case ')':
        return push(Tuple{});
      case 0x85:
        return push(Tuple{last(1)});
      case 0x86:
        return push(Tuple{last(2)});
      case 0x87:
        return push(Tuple{last(3)});
      case 't':
        return push(Tuple{since_mark()});
      case '}':
        return push(Dictionary{});
      case 's':
        return set_items(last(2));
      case 'u':
        return set_items(since_mark());
      case 'q':
        return remember(number<uint8_t>());
      case 'r':
        return remember(number<uint32_t>());
      case 0x94:
        return remember(static_cast<uint32_t>(memo_.size()));
      case 'h':
        return recall(number<uint8_t>());
      case 'j':
        return recall(number<uint32_t>());
      case 'Q':
        return push_storage();
      case 'R':
        return call();
      case 'b':
        last(1);  // attributes of a dictionary (_metadata)
        top();
        return;
      default:
        user_error("{}: opcode 0x{:02x} has no place in a dictionary of tensors: refused", file_, opcode);
    }
  }

  [[noreturn]] void torn() const { user_error("{}: its pickle is torn", file_); }

  std::span<const std::byte> take(size_t count) {
    if (count > rest_.size()) torn();
    const auto bytes = rest_.first(count);
    rest_ = rest_.subspan(count);
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
    std::string line;
    while (true) {
      const char c = static_cast<char>(take(1)[0]);
      if (c == '\n') return line;
      line += c;
    }
  }

  template <class T>
  void push(T value) {
    arena_.push_back(std::make_unique<Value>(Value{std::move(value)}));
    stack_.push_back(arena_.back().get());
  }
  Value* top() const {
    if (stack_.empty()) torn();
    return stack_.back();
  }
  template <class T>
  const T& pop(const char* what) {
    const T* is = std::get_if<T>(&top()->is);
    if (!is) user_error("{}: its pickle has something else where {} is expected", file_, what);
    stack_.pop_back();
    return *is;
  }
  std::vector<const Value*> last(size_t count) {
    if (count > stack_.size()) torn();
    std::vector<const Value*> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }
  std::vector<const Value*> since_mark() {
    size_t count = 0;
    while (count < stack_.size() && !std::holds_alternative<Mark>(stack_[stack_.size() - 1 - count]->is))
      ++count;
    if (count == stack_.size()) torn();
    std::vector<const Value*> items = last(count);
    stack_.pop_back();
    return items;
  }

  void push_long() {
    const size_t bytes = number<uint8_t>();
    if (bytes > sizeof(int64_t)) user_error("{}: a number of {} bytes in its pickle", file_, bytes);
    int64_t value = 0;
    std::memcpy(&value, take(bytes).data(), bytes);
    if (bytes > 0 && bytes < sizeof(int64_t) && (value >> (8 * bytes - 1) & 1))
      value -= int64_t{1} << (8 * bytes);
    push(value);
  }

  void push_global(const std::string& name) {
    if (name != ordered_dictionary && name != rebuild_tensor && name != rebuild_parameter &&
        !storage_types.contains(name))
      user_error(
          "{}: its pickle wants to use {}; only tensors, storages and ordered dictionaries are read: refused, "
          "nothing was executed",
          file_, name);
    push(Global{name});
  }

  void remember(uint32_t place) { memo_[place] = top(); }
  void recall(uint32_t place) {
    const auto found = memo_.find(place);
    if (found == memo_.end()) torn();
    stack_.push_back(found->second);
  }

  void set_items(const std::vector<const Value*>& items) {
    auto* dictionary = std::get_if<Dictionary>(&top()->is);
    if (!dictionary || items.size() % 2 != 0) torn();
    for (size_t i = 0; i < items.size(); i += 2) dictionary->items.emplace_back(items[i], items[i + 1]);
  }

  template <class T>
  const T& argument(const Tuple& tuple, size_t place, const char* what) const {
    const T* is = place < tuple.items.size() ? std::get_if<T>(&tuple.items[place]->is) : nullptr;
    if (!is) user_error("{}: its pickle has something else where {} is expected", file_, what);
    return *is;
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
      user_error("{}: a tensor of {} dimensions; at most {} are read", file_, tuple.items.size(),
                 most_dimensions);
    std::vector<int64_t> all;
    for (size_t i = 0; i < tuple.items.size(); ++i) all.push_back(argument<int64_t>(tuple, i, "a size"));
    return all;
  }

  void call() {
    const auto& arguments = pop<Tuple>("arguments");
    const auto& what = pop<Global>("what is made");
    if (what.name == ordered_dictionary) {
      if (!arguments.items.empty()) user_error("{}: an ordered dictionary of an unknown form", file_);
      return push(Dictionary{});
    }
    if (what.name == rebuild_parameter) return push(argument<PickledTensor>(arguments, 0, "a tensor"));
    if (what.name != rebuild_tensor) user_error("{}: its pickle calls {}: refused", file_, what.name);
    const auto& storage = argument<Storage>(arguments, 0, "a storage");
    push(PickledTensor{
        "", storage.key, storage.dtype, storage.count, argument<int64_t>(arguments, 1, "an offset"),
        numbers(argument<Tuple>(arguments, 2, "a shape")), numbers(argument<Tuple>(arguments, 3, "strides"))});
  }

  std::span<const std::byte> rest_;
  const std::string& file_;
  std::vector<std::unique_ptr<Value>> arena_;
  std::vector<Value*> stack_;
  std::map<uint32_t, Value*> memo_;
};

}  // namespace

std::vector<PickledTensor> read_pickled_tensors(std::span<const std::byte> pickle, const std::string& file) {
  if (pickle.size() > largest_pickle)
    user_error("{}: a pickle of {} bytes; at most {} are read", file, pickle.size(), largest_pickle);
  Machine machine(pickle, file);
  const auto* dictionary = std::get_if<Dictionary>(&machine.run().is);
  if (!dictionary) user_error("{}: it holds no dictionary of tensors", file);
  std::vector<PickledTensor> tensors;
  for (const auto& [key, value] : dictionary->items) {
    const auto* name = std::get_if<std::string_view>(&key->is);
    const auto* tensor = std::get_if<PickledTensor>(&value->is);
    if (!name || !tensor) user_error("{}: its dictionary holds something besides tensors by name", file);
    tensors.push_back(*tensor);
    tensors.back().name = *name;
  }
  return tensors;
}

}  // namespace gaggle
