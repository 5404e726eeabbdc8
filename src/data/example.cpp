#include "data/example.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/names.h"
#include "base/sha256.h"
#include "base/terminal.h"

namespace gaggle {
namespace {

using Json = nlohmann::json;

const std::vector<std::string> example_keys = {"input", "output", "messages", "choices", "split", "id"};
const std::vector<std::string> message_keys = {"role", "content"};
const std::vector<std::string> roles = {"system", "user", "assistant"};

bool contains(const std::vector<std::string>& list, const std::string& entry) {
  return std::ranges::find(list, entry) != list.end();
}

// "syntax error …" of "line 1, column 8: syntax error …": where it stands in the file is said before it.
std::string plain_reason(const std::string& what) {
  return what.starts_with("line 1,") ? what.substr(what.find(": ") + 2) : what;
}

Json parse_line(std::string_view line, const std::string& where) {
  // A key given twice would silently lose one of its values. Keys of inner objects have depth 2 and more.
  std::set<std::string> seen;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::key && depth == 1 && !seen.insert(value.get<std::string>()).second)
      user_error("{}: the key {} stands twice in the example", where, in_quotes(value.get<std::string>()));
    return true;
  };
  try {
    return parse_json(line, watch);
  } catch (const JsonError& error) {
    user_error("{}:{}: not JSON ({})", where, std::max<size_t>(error.byte, 1), plain_reason(error.what()));
  }
}

std::string text_of(const Json& object, const char* key, const std::string& where) {
  const Json& value = object.at(key);
  if (!value.is_string()) user_error("{}: \"{}\" is {}, expected text", where, key, value.type_name());
  return value.get<std::string>();
}

void check_keys(const Json& object, const std::vector<std::string>& known, const std::string& where) {
  for (const auto& [key, value] : object.items())
    if (!contains(known, key)) user_error("{}: unknown key {} ({})", where, in_quotes(key), known_names(key, known));
}

std::vector<Message> messages_of(const Json& list, const std::string& where) {
  if (!list.is_array() || list.empty()) user_error("{}: \"messages\" is not a list of messages", where);
  std::vector<Message> messages;
  for (const Json& entry : list) {
    if (!entry.is_object() || !entry.contains("role") || !entry.contains("content"))
      user_error("{}: message {} is not {{\"role\": …, \"content\": …}}", where, messages.size() + 1);
    check_keys(entry, message_keys, where);
    messages.push_back({text_of(entry, "role", where), text_of(entry, "content", where)});
    const std::string& role = messages.back().role;
    if (!contains(roles, role))
      user_error("{}: unknown role {} ({})", where, in_quotes(role), known_names(role, roles));
  }
  return messages;
}

// Sets messages and output.
void read_text(const Json& object, Example& example, const std::string& where) {
  if (object.contains("messages")) {
    for (const char* other : {"input", "output"})
      if (object.contains(other))
        user_error("{}: has \"messages\" and \"{}\"; one of the two forms is enough", where, other);
    example.messages = messages_of(object["messages"], where);
    if (example.messages.back().role != "assistant")
      user_error("{}: no output: the last message must be the assistant's (it is the {}'s)", where,
                 example.messages.back().role);
    example.output = std::move(example.messages.back().content);
    example.messages.pop_back();
    if (example.messages.empty())
      user_error("{}: the assistant's message is the only one; what does it answer?", where);
  } else {
    if (!object.contains("input")) user_error("{}: no \"input\" (and no \"messages\")", where);
    if (!object.contains("output")) user_error("{}: no \"output\"", where);
    example.messages = {{"user", text_of(object, "input", where)}};
    example.output = text_of(object, "output", where);
  }
  if (example.output.empty()) user_error("{}: the output is empty", where);
}

void read_choices(const Json& list, Example& example, const std::string& where) {
  if (!list.is_array() || list.empty()) user_error("{}: \"choices\" is not a list of texts", where);
  for (const Json& entry : list) {
    if (!entry.is_string() || entry.get<std::string>().empty())
      user_error("{}: choice {} is not a text, or empty", where, example.choices.size() + 1);
    const std::string choice = entry.get<std::string>();
    if (contains(example.choices, choice)) user_error("{}: the choice {} is there twice", where, in_quotes(choice));
    example.choices.push_back(choice);
  }
  if (!contains(example.choices, example.output))
    user_error("{}: the output {} is none of the choices ({})", where, in_quotes(example.output),
               shown(join(example.choices, ", ")));
}

ExampleOfFile read_example(std::string_view line, const std::filesystem::path& file, int64_t number) {
  ExampleOfFile result{.example = {}, .split = {}, .file = file, .line = number};
  const std::string where = result.where();
  if (!is_valid_utf8(line)) user_error("{}: not UTF-8 text; convert the file (iconv -t UTF-8)", where);
  const Json object = parse_line(line, where);
  if (!object.is_object())
    user_error("{}: an example is an object {{\"input\": …, \"output\": …}}, not {}", where, object.type_name());
  check_keys(object, example_keys, where);
  read_text(object, result.example, where);
  if (object.contains("choices")) read_choices(object["choices"], result.example, where);
  if (object.contains("split")) result.split = split_named(text_of(object, "split", where), where);
  if (object.contains("id")) {
    const Json& id = object["id"];
    if (!id.is_string() && !id.is_number_integer()) user_error("{}: \"id\" is neither text nor a whole number", where);
    result.example.id = id.is_string() ? id.get<std::string>() : id.dump();
    if (result.example.id.empty()) user_error("{}: \"id\" is empty; leave it out to get the line's number", where);
  }
  return result;
}

}  // namespace

std::string ExampleOfFile::where() const { return fmt::format("{}:{}", file.string(), line); }

std::vector<ExampleOfFile> read_examples(const std::filesystem::path& file, const std::function<void()>& heed) {
  const std::string bytes = read_file(file);
  std::string_view rest = bytes;
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
  std::vector<ExampleOfFile> examples;
  for (int64_t number = 1; !rest.empty(); ++number) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (heed) heed();
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) examples.push_back(read_example(line, file, number));
  }
  return examples;
}

Split dealt_split(const Example& example) {
  // Lengths before texts: no two examples are fed the same way.
  Sha256 digest;
  const auto feed = [&](std::string_view text) { digest.update(fmt::format("{}:", text.size())).update(text); };
  for (const Message& message : example.messages) {
    feed(message.role);
    feed(message.content);
  }
  feed(example.output);
  for (const std::string& choice : example.choices) feed(choice);
  const std::string hex = digest.hex().substr(0, 15);
  uint64_t number = 0;
  std::from_chars(hex.data(), hex.data() + hex.size(), number, 16);
  const uint64_t place = number % 10;
  return place < 8 ? Split::train : place == 8 ? Split::validation : Split::test;
}

}  // namespace gaggle
