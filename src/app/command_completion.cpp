// gaggle completion SHELL: the script that makes a shell complete gaggle's command line.
#include "app/command.h"
#include "app/completion.h"

namespace gaggle {
namespace {

Exit show_script(const CLI::App& program, const std::string& shell) {
  const CommandSyntax syntax = syntax_of(program);
  return print(shell == "bash"  ? bash_completion(syntax)
               : shell == "zsh" ? zsh_completion(syntax)
                                : fish_completion(syntax));
}

}  // namespace

Command completion_command() {
  return {"completion", "Print the script that teaches a shell's TAB key",
          [](CLI::App& parser) {
            const auto shell = std::make_shared<std::string>();
            parser.add_option("SHELL", *shell, "bash, zsh or fish")
                ->required()
                ->option_text("bash|zsh|fish")
                ->check(CLI::IsMember({"bash", "zsh", "fish"}));
            return without_config(parser, [&parser, shell] { return show_script(*parser.get_parent(), *shell); });
          },
          "eval \"$(gaggle completion bash)\"          # in ~/.bashrc\n"
          "source <(gaggle completion zsh)           # in ~/.zshrc, behind compinit\n"
          "gaggle completion fish > ~/.config/fish/completions/gaggle.fish"};
}

}  // namespace gaggle
