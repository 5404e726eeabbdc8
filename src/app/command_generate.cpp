// gaggle generate: one prompt through the routed collection, streamed (of beams, the best at the end), then
// which experts answered; or through an inventory's average or one of its routing rows.
#include <algorithm>
#include <cstdio>

#include "app/command.h"
#include "base/log.h"
#include "base/names.h"
#include "base/terminal.h"
#include "config/method_text.h"
#include "eval/generate.h"
#include "eval/summary.h"
#include "job/inputs.h"
#include "job/session.h"
#include "workflow/eval_sources.h"

namespace gaggle {
namespace {

// The prompt as an example of a task, so that it is formatted as in training.
TokenTask tokens_of(const Config& config, const Inputs& inputs, const std::string& prompt) {
  Task task;
  task.name = "prompt";
  task.splits[static_cast<size_t>(Split::test)].push_back({"1", {{"user", prompt}}, "-", {}});
  return tokenized(config, inputs, task);
}

// Prints text as tokens come, holding back a character whose bytes are not all there yet, and an end whose spaces the
// next token may take away.
class Stream {
 public:
  explicit Stream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  void add(int32_t token) {
    ids_.push_back(token);
    std::string text = tokenizer_.decode(ids_);
    if (text.ends_with("\xEF\xBF\xBD")) return;
    if (tokenizer_.clean_up_spaces) text = without_open_end(text);
    if (!text.starts_with(printed_)) return;
    print(text);
  }
  void finish() { print(tokenizer_.decode(ids_) + "\n"); }

 private:
  // Spaces are taken away before a few bytes (" n't"), rules one after the other: no more than twice as many are open.
  static std::string without_open_end(const std::string& text) {
    size_t end = text.size() - std::min<size_t>(text.size(), 8);
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    return text.substr(0, end);
  }
  void print(const std::string& text) {
    if (text.size() > printed_.size()) write_out(std::string_view(text).substr(printed_.size()));
    printed_ = text;
  }
  const Tokenizer& tokenizer_;
  std::vector<int32_t> ids_;
  std::string printed_;
};

Exit answer(const Config& given, const std::string& prompt, const std::string& asked_for) {
  Config config = given;
  if (!asked_for.empty()) config.eval.methods = {read_method_text(config, asked_for).whole};
  const std::string method = prompt_method(config.eval);
  if (method.empty())
    user_error(
        "{}: no method of {} answers a prompt: poly mixes by a task's name, as oracle and experts choose by it, and a prompt has none. "
        "--method takes mu, shared, z:NAME, phatgoose, arrow, average, spectr, expert:NAME, merged, random or none",
        asked_for.empty() ? methods_origin(given) : "--method", join(config.eval.methods, ", "));
  config.eval.methods = {method};
  Session session = start_session(config, Purpose::look);
  const Inputs inputs = open_inputs(config);
  const auto base = load_base(config, inputs, session, BaseUse::inference);
  const EvalSources sources = load_sources(config, *base, {}, /*keep=*/true);
  for (const Method& asked : sources.methods)
    if (const std::string reason = not_finite_in(asked, sources.collection); !reason.empty())
      user_error("{} cannot answer: {}; name another method, or leave out what is not finite", asked.name, reason);
  const RoutedCollection& collection = sources.collection;
  log::info("answered by {}", method);
  if (const auto& inventory = sources.methods[0].inventory) log::info("{}", inventory->description());
  for (const std::string& note : notes_on(sources.methods, collection, {})) log::info("{}", note);
  const auto adapter = make_adapter(sources.methods[0], collection, sources.prepared, config.run.seed, *base, {});

  const TokenTask task = tokens_of(config, inputs, prompt);
  const TokenExample& example = task.examples(Split::test)[0];
  const GeneratePrompt tokens{example.source, example.input};
  Stream stream(*inputs.tokenizer);
  GenerateOptions options = generate_options(config.eval);
  options.end = task.end_id;
  options.on_token = [&](size_t, int32_t token) { stream.add(token); };
  if (session.identity.rank == 0) {
    generate(*base, adapter.get(), {&tokens, 1}, options);
    stream.finish();
    const auto weight = adapter ? adapter->weight_by_expert() : std::vector<double>();
    if (!weight.empty()) std::fprintf(stderr, "\n%s", shares_block(collection, weight).c_str());
  }
  end_session(session);
  return Exit::done;
}

}  // namespace

Command generate_command() {
  return {"generate", "Answer a prompt through a routed collection", [](CLI::App& parser) {
            const auto prompt = std::make_shared<std::string>(), method = std::make_shared<std::string>();
            RunCommand command = with_config(
                parser, [prompt, method](const Config& config) { return answer(config, *prompt, *method); });
            parser.add_option("PROMPT", *prompt, "The prompt")->required();
            parser.add_option("--method", *method, "Answer by this method; without it by one of eval.methods");
            return command;
          }};
}

}  // namespace gaggle
