#include "app/man_page.h"

#include "base/error.h"
#include "config/schema.h"

namespace gaggle {
namespace {

// Text of ours as troff takes it: no line begins with a request, and a minus can be copied into a shell.
std::string roff(const std::string& text) {
  std::string escaped;
  bool begins = true;
  for (const char c : text) {
    if (begins && (c == '.' || c == '\'')) escaped += "\\&";
    if (c == '\\')
      escaped += "\\e";
    else if (c == '-')
      escaped += "\\-";
    else
      escaped += c;
    begins = c == '\n';
  }
  return escaped;
}

std::string entry(const std::string& name, const std::string& help) {
  return ".TP\n.B " + roff(name) + "\n" + roff(help) + "\n";
}

std::string command_part(const CommandSyntax& command) {
  std::string usage = command.typed();
  for (const OptionSyntax& argument : command.arguments) usage += " " + argument.name;
  std::string text = ".SS \"" + roff(usage) + "\"\n" + roff(command.help) + ".\n";
  for (const OptionSyntax& option : command.options)
    if (option.name != "--help")
      text += entry(option.name + (option.value.empty() ? "" : " " + option.value), option.help);
  if (!command.examples.empty()) text += ".PP\nExamples:\n.PP\n.nf\n.RS\n" + roff(command.examples) + "\n.RE\n.fi\n";
  return text;
}

std::string keys_part() {
  Config defaults;
  std::string text;
  for (const Section& section : config_sections()) {
    text += ".SS \"[" + roff(section.name) + "]\"\n" + roff(section.help) + "\n";
    for (const Key& key : config_keys()) {
      if (key.section != section.name) continue;
      const std::string value = toml_text(key.field(defaults));
      text += entry(key.full() + (value.empty() ? "" : " = " + value), described(key));
    }
  }
  return text;
}

// As docs/architecture.md has them.
constexpr std::pair<const char*, const char*> exit_codes[] = {
    {"0", "done"},
    {"1", "failed, or standard output could not be written"},
    {"2", "bad command line, config or input: nothing was started, nothing written"},
    {"3", "done, but some items were set aside or refused (named)"},
    {"4", "stopped by the STOP file in the run folder"},
    {"75", "stopped early, everything saved: start again to go on"},
    {"205", "ranks were lost or stood still: start again to go on"},
};

}  // namespace

std::string man_page(const CommandSyntax& program) {
  std::string text = ".TH GAGGLE 1 \"\" \"gaggle " GAGGLE_VERSION "\" \"User Commands\"\n";
  text += ".SH NAME\ngaggle \\- collections of small experts on one frozen language model\n";
  text += ".SH SYNOPSIS\n.B gaggle\nCOMMAND [CONFIG] [options] [\\-\\-section.key=VALUE ...]\n";
  text += ".SH DESCRIPTION\n" + roff(program.help) +
          "\nA config is TOML; any of its keys may stand on the command line as \\-\\-section.key=VALUE.\n";
  text += ".SH COMMANDS\n";
  for (const CommandSyntax* command : all_of(program))
    if (command->actions.empty()) text += command_part(*command);
  text += ".SH KEYS OF THE CONFIG\n" + keys_part();
  text += ".SH EXIT STATUS\n";
  for (const auto& [code, meaning] : exit_codes) text += entry(code, meaning);
  text += ".SH ENVIRONMENT\n";
  text += entry("COLUMNS", "Width of help pages, where it is set; else that of the terminal.");
  text += entry("GAGGLE_EXIT_FILE", "A file that the first rank writes its exit code to, for launchers.");
  return text;
}

}  // namespace gaggle
