// gaggle generate: one prompt through the routed collection, streamed (of beams, the best at the end), then
// which experts answered; or through an inventory's average or one of its routing rows.
#include <cstdio>

#include "app/command.h"
#include "base/log.h"
#include "base/names.h"
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

// Prints text as tokens come, holding back a character whose bytes are not all there yet.
class Stream {
 public:
  explicit Stream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  void add(int32_t token) {
    ids_.push_back(token);
    const std::string text = tokenizer_.decode(ids_);
    if (text.ends_with("\xEF\xBF\xBD") || !text.starts_with(printed_)) return;
    print(text);
  }
  void finish() { print(tokenizer_.decode(ids_) + "\n"); }

 private:
  void print(const std::string& text) {
    if (text.size() > printed_.size()) std::fputs(text.c_str() + printed_.size(), stdout);
    std::fflush(stdout);
    printed_ = text;
  }
  const Tokenizer& tokenizer_;
  std::vector<int32_t> ids_;
  std::string printed_;
};

Exit answer(const Config& given, const std::string& prompt) {
  Config config = given;
  const std::string method = prompt_method(given.eval);
  if (method.empty())
    user_error(
        "{}: no method of {} answers a prompt: poly mixes by a task's name, which a prompt has not. "
        "Take mu, shared, z:NAME, phatgoose or arrow",
        methods_origin(given), join(given.eval.methods, ", "));
  config.eval.methods = {method};
  Session session = start_session(config, Purpose::look);
  const Inputs inputs = open_inputs(config);
  const auto base = load_base(config, inputs, session.device, BaseUse::inference);
  const EvalSources sources = load_sources(config, *base);
  const RoutedCollection& collection = sources.collection;
  if (const auto& inventory = sources.methods[0].inventory) log::info("{}", inventory->description());
  for (const std::string& note : notes_on(sources.methods, collection, {})) log::info("{}", note);
  const auto adapter = make_adapter(sources.methods[0], collection, config.eval, config.run.seed, *base, "");

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
    if (!collection.names.empty())
      std::fprintf(stderr, "\n%s", shares_block(collection, adapter->weight_by_expert()).c_str());
  }
  end_session(session);
  return Exit::done;
}

}  // namespace

Command generate_command() {
  return {"generate", "Answer a prompt through a routed collection", [](CLI::App& parser) {
            const auto prompt = std::make_shared<std::string>();
            RunCommand command =
                with_config(parser, [prompt](const Config& config) { return answer(config, *prompt); });
            parser.add_option("PROMPT", *prompt, "The prompt")->required();
            return command;
          }};
}

}  // namespace gaggle
