// The script of fish: a line `complete` for every command, option and key.
#include "app/completion.h"
#include "base/error.h"
#include "base/names.h"

namespace gaggle {
namespace {

constexpr const char* fish_functions = R"fish(function __gaggle_command
  set -l at
  for word in (commandline -opc)[2..-1]
    string match -q -- '-*' $word; and continue
    contains -- (string join ' ' $at $word) $__gaggle_commands; or break
    set at $at $word
  end
  string join ' ' $at
end
function __gaggle_at
  test "$(__gaggle_command)" = "$argv[1]"
end
function __gaggle_takes_keys
  contains -- "$(__gaggle_command)" $__gaggle_with_keys
end
# The folder of the registry that the words mean; a config's registry.path is what its own text says.
function __gaggle_registry
  set -l where
  set -l after
  for word in (commandline -opc)[3..-1]
    test -n "$after"; and set where $word
    set after
    switch $word
      case --registry
        set after yes
      case '--registry=*' '--registry.path=*'
        set where (string replace -r '^[^=]*=' '' -- $word)
      case '*.toml'
        test -z "$where" -a -f "$word"; and set where $word
      case '*'
        test -z "$where" -a -f "$word/registry.json"; and set where $word
    end
  end
  if string match -q '*.toml' -- $where
    set -l line (sed -n '/^\[registry\]/,/^\[[^r]/s/^ *path *= *"\([^"]*\)".*/\1/p' $where 2>/dev/null)[1]
    switch "$line"
      case ''
        set where registry
      case '/*'
        set where $line
      case '*'
        set where (dirname -- $where)/$line
    end
  end
  test -n "$where"; and echo $where; or echo registry
end
function __gaggle_names
  for kind in $argv
    ls -- (__gaggle_registry)/$kind 2>/dev/null
  end | sort -u
end
complete -c gaggle -f
)fish";

std::string fish_quoted(const std::string& text) {
  std::string all = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') all += '\\';
    all += c == '\n' ? ' ' : c;
  }
  return all + "'";
}

// What stands behind -a for these words, and whether files may (-F).
std::string offered(const CompletionWords& words) {
  std::string list;
  bool files = false;
  for (const CompletionWord& word : words) {
    const std::string& text = word.word;
    std::string more = text;
    if (text == "@files" || text == "@configs")
      files = true, more = "";
    else if (text == "@folders")
      more = "(__fish_complete_directories)";
    else if (text == "@names")
      more = "(__gaggle_names experts inventories routing_rows collections)";
    else if (text == "@none")
      more = "";
    else if (text.starts_with("@"))
      more = "(__gaggle_names " + text.substr(1) + ")";
    if (!more.empty()) list += (list.empty() ? "" : " ") + more;
  }
  return (files ? " -F" : " -f") + (list.empty() ? "" : " -a " + fish_quoted(list));
}

std::string key_of_fish(const CommandSyntax& command) { return join(command.words, " "); }

}  // namespace

std::string fish_completion(const CommandSyntax& program) {
  std::string text =
      "# fish completion of gaggle " GAGGLE_VERSION ": this text as ~/.config/fish/completions/gaggle.fish\n";
  std::string commands, with_keys, lines;
  const auto line = [&](const std::string& condition, const std::string& rest, const std::string& help) {
    lines += "complete -c gaggle -n " + fish_quoted(condition) + rest +
             (help.empty() ? "" : " -d " + fish_quoted(help)) + "\n";
  };
  for (const CommandSyntax* command : all_of(program)) {
    const std::string here = "__gaggle_at " + fish_quoted(key_of_fish(*command));
    if (!command->words.empty()) commands += " " + fish_quoted(key_of_fish(*command));
    if (command->takes_keys()) with_keys += " " + fish_quoted(key_of_fish(*command));
    for (const CommandSyntax& action : command->actions)
      line(here, " -a " + fish_quoted(action.words.back()), action.help);
    if (const auto words = completions_of_argument(*command); !words.empty()) line(here, offered(words), "");
    if (command->words == std::vector<std::string>{"help"})
      for (const CommandSyntax& other : program.actions)
        line(here, " -a " + fish_quoted(other.words.back()), other.help);
    for (const OptionSyntax& option : command->options) {
      const CompletionWords values = completions_of_value(option);
      line(here, " -l " + option.name.substr(2) + (values.empty() ? "" : " -r" + offered(values)), option.help);
    }
  }
  for (const KeyCompletion& key : completions_of_keys())
    line("__gaggle_takes_keys", " -l " + key.option.substr(2) + " -r" + offered(key.values), key.help);
  return text + "set -g __gaggle_commands" + commands + "\nset -g __gaggle_with_keys" + with_keys + "\n" +
         fish_functions + lines;
}

}  // namespace gaggle
