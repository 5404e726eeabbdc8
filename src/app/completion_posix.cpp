// The scripts of bash and zsh: the same tables and the same look into a registry's folder, then what each shell asks for.
#include "app/completion.h"
#include "base/error.h"

namespace gaggle {
namespace {

std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\t') c = ' ';
  return text;
}

std::string row(const CompletionWord& word) { return word.word + "\t" + one_line(word.help) + "\n"; }

// A function of the shell that prints rows "word<TAB>help" by its first argument.
class Lookup {
 public:
  explicit Lookup(const std::string& name) : text_(name + "() {\n  case \"$1\" in\n") {}
  void add(const std::string& key, const CompletionWords& words) {
    if (words.empty()) return;
    text_ += "  '" + key + "') cat <<'END'\n";
    for (const CompletionWord& word : words) text_ += row(word);
    text_ += "END\n    ;;\n";
  }
  std::string end() const { return text_ + "  esac\n}\n"; }

 private:
  std::string text_;
};

std::string key_of(const CommandSyntax& command) { return command.words.empty() ? "" : command.typed().substr(7); }

std::string tables(const CommandSyntax& program) {
  Lookup actions("_gaggle_actions"), options("_gaggle_options"), arguments("_gaggle_arguments"),
      values("_gaggle_values"), keys("_gaggle_keys");
  for (const CommandSyntax* command : all_of(program)) {
    CompletionWords inner, own;
    for (const CommandSyntax& action : command->actions) inner.push_back({action.words.back(), action.help});
    for (const OptionSyntax& option : command->options) {
      own.push_back({option.name, option.help});
      values.add(key_of(*command) + " " + option.name, completions_of_value(option));
    }
    if (command->takes_keys()) own.push_back({"@keys", ""});
    actions.add(key_of(*command), inner);
    options.add(key_of(*command), own);
    arguments.add(key_of(*command), completions_of_argument(*command));
  }
  // Section by section: two hundred keys at once are no help.
  CompletionWords sections, of_section;
  const auto finish = [&] {
    if (!sections.empty()) keys.add(sections.back().word, of_section);
    of_section.clear();
  };
  for (const KeyCompletion& key : completions_of_keys()) {
    const std::string section = key.option.substr(0, key.option.find('.') + 1);
    if (sections.empty() || sections.back().word != section) {
      finish();
      sections.push_back({section, "keys of the config"});
    }
    of_section.push_back({key.option + "=", key.help});
    values.add(key.option, key.values);
  }
  finish();
  keys.add("", sections);
  return actions.end() + options.end() + arguments.end() + values.end() + keys.end();
}

// Of the words behind the command: a config's registry.path is what its own text says.
constexpr const char* registry_functions = R"sh(_gaggle_registry() {
  local word where= after= line
  for word in "$@"; do
    [ -z "$after" ] || where=$word
    after=
    case $word in
      --registry) after=yes ;;
      --registry=* | --registry.path=*) where=${word#*=} ;;
      *.toml) [ -f "$word" ] && where=${where:-$word} ;;
      *) [ -f "$word/registry.json" ] && where=${where:-$word} ;;
    esac
  done
  case $where in
    *.toml)
      line=$(sed -n '/^\[registry\]/,/^\[[^r]/s/^ *path *= *"\([^"]*\)".*/\1/p' "$where" 2>/dev/null | head -n 1)
      case $line in
        "") where=registry ;;
        /*) where=$line ;;
        *) where=$(dirname -- "$where")/$line ;;
      esac ;;
  esac
  printf '%s\n' "${where:-registry}"
}
_gaggle_names() {  # registry, kinds
  local kind
  for kind in "${@:2}"; do ls -- "$1/$kind" 2>/dev/null; done | sort -u
}
# The command that the words begin with: "registry import".
_gaggle_command() {
  local at= word
  for word in "$@"; do
    case $word in -*) continue ;; esac
    _gaggle_actions "$at" | cut -f 1 | grep -qxF -e "$word" || break
    at=${at:+$at }$word
  done
  printf '%s\n' "$at"
}
# What may stand where $2 was begun behind $3, in the command $1.
_gaggle_here() {
  case $2 in
    --*=*) _gaggle_values "$1 ${2%%=*}"; _gaggle_values "${2%%=*}" ;;
    --*.*) _gaggle_keys "${2%%.*}." ;;
    -*) _gaggle_options "$1" | while IFS= read -r row; do
          case $row in @keys*) _gaggle_keys "" ;; *) printf '%s\n' "$row" ;; esac
        done ;;
    *)
      if [ -n "$(_gaggle_values "$1 $3")" ]; then _gaggle_values "$1 $3"
      elif [ "$1" = help ]; then _gaggle_actions ""; printf 'config\n'
      else _gaggle_actions "$1"; _gaggle_arguments "$1"; fi ;;
  esac
}
)sh";

constexpr const char* bash_functions = R"sh(_gaggle() {
  local line=${COMP_LINE:0:COMP_POINT} current= at word help kinds
  local -a typed=() found=()
  read -ra typed <<<"$line"
  case $line in
    *[[:space:]]) ;;
    *) current=${typed[${#typed[@]} - 1]} && unset "typed[${#typed[@]}-1]" ;;
  esac
  typed=("${typed[@]:1}")
  at=$(_gaggle_command "${typed[@]}")
  local value=$current before= previous=
  [ ${#typed[@]} = 0 ] || previous=${typed[${#typed[@]} - 1]}
  case $current in --*=*) value=${current#*=} before=${current%%=*}= ;; esac
  while IFS=$'\t' read -r word help; do
    kinds=
    case $word in
      @none) ;;
      @files) compopt -o filenames; while IFS= read -r word; do found+=("$before$word"); done < <(compgen -f -- "$value") ;;
      @folders) compopt -o filenames; while IFS= read -r word; do found+=("$before$word"); done < <(compgen -d -- "$value") ;;
      @configs)
        compopt -o filenames
        while IFS= read -r word; do found+=("$before$word"); done < <(compgen -f -X '!*.toml' -- "$value"; compgen -d -- "$value") ;;
      @names) kinds="experts inventories routing_rows collections" ;;
      @*) kinds=${word#@} ;;
      "$current"*) found+=("$word") ;;
      *) [ -z "$before" ] || case $word in "$value"*) found+=("$before$word") ;; esac ;;
    esac
    [ -z "$kinds" ] || while IFS= read -r word; do
      case $word in "$value"*) found+=("$before$word") ;; esac
    done < <(_gaggle_names "$(_gaggle_registry "${typed[@]:1}")" $kinds)
  done < <(_gaggle_here "$at" "$current" "$previous")
  # Bash cuts words at = and :, and puts what it is given behind the last of them.
  local cut=${current%"${current##*[=:]}"}
  COMPREPLY=()
  for word in "${found[@]}"; do COMPREPLY+=("${word#"$cut"}"); done
  case ${#found[@]}${found[0]:-} in 1*[=.]) compopt -o nospace ;; 1*) ;; *) case $current in --*) compopt -o nospace ;; esac ;; esac
}
complete -F _gaggle gaggle
)sh";

constexpr const char* zsh_functions = R"sh(_gaggle() {
  local at word help kinds previous=${words[CURRENT-1]} begun=$PREFIX found=1
  local -a typed entries glued
  typed=("${(@)words[2,CURRENT-1]}")
  at=$(_gaggle_command $typed)
  [[ $begun == --*=* ]] && compset -P '*='
  while IFS=$'\t' read -r word help; do
    kinds=
    case $word in
      @none) ;;
      @files) _files && found=0 ;;
      @folders) _files -/ && found=0 ;;
      @configs) _files -g '*.toml' && found=0 ;;
      @names) kinds="experts inventories routing_rows collections" ;;
      @*) kinds=${word#@} ;;
      *[=.]) glued+=("${word//:/\\:}${help:+:$help}") ;;
      *) entries+=("${word//:/\\:}${help:+:$help}") ;;
    esac
    [[ -z $kinds ]] || entries+=(${(f)"$(_gaggle_names "$(_gaggle_registry $typed[2,-1])" ${=kinds})"})
  done < <(_gaggle_here "$at" "$begun" "$previous")
  (( $#glued )) && _describe -t keys key glued -S '' && found=0
  (( $#entries )) && _describe -t words word entries && found=0
  return found
}
if [ "$funcstack[1]" = _gaggle ]; then _gaggle "$@"; else compdef _gaggle gaggle; fi
)sh";

}  // namespace

std::string bash_completion(const CommandSyntax& program) {
  return "# bash completion of gaggle " GAGGLE_VERSION
         ": eval \"$(gaggle completion bash)\", or this text as\n"
         "# ~/.local/share/bash-completion/completions/gaggle\n" +
         tables(program) + registry_functions + bash_functions;
}

std::string zsh_completion(const CommandSyntax& program) {
  return "#compdef gaggle\n# zsh completion of gaggle " GAGGLE_VERSION
         ": this text as _gaggle in a folder of $fpath, or, behind compinit, source <(gaggle completion zsh)\n" +
         tables(program) + registry_functions + zsh_functions;
}

}  // namespace gaggle
