// gaggle generate: one prompt through the routed collection, streamed (of beams, the best at the end), then
// which experts answered; or through an inventory's average or one of its routing rows.
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <iterator>
#include <optional>

#include "app/command.h"
#include "app/ranges.h"
#include "app/text_stream.h"
#include "base/log.h"
#include "base/names.h"
#include "base/table.h"
#include "base/terminal.h"
#include "cluster/identity.h"
#include "config/method_text.h"
#include "config/read.h"
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

struct GenerateRequest {
  std::string prompt, method;
  std::optional<int64_t> most, top_k;  // new tokens; among so many
  std::optional<double> temperature, top_p;
  std::optional<uint64_t> seed;
};

constexpr int64_t usual_most = 256;  // new tokens

// "-": what standard input holds, less the end of its last line. Ranks behind the first have none, and answer nothing.
std::string read_prompt(const std::string& given) {
  std::string prompt = given;
  if (given == "-" && launched_rank() <= 0) {
    if (::isatty(STDIN_FILENO)) log::info("the prompt is read from the keyboard: Ctrl-D on a new line ends it");
    prompt.assign(std::istreambuf_iterator<char>(std::cin), {});
    if (prompt.ends_with('\n')) prompt.pop_back();
    if (!is_valid_utf8(prompt)) user_error("the prompt on standard input is not UTF-8 text");
  }
  if (prompt.empty()) user_error("the prompt is empty: write it behind CONFIG, or - and give it on standard input");
  return prompt;
}

// Drawn as soon as one of its settings is given, else the likeliest tokens, or the best of eval.beams.
GenerateOptions options_of(const Config& config, const GenerateRequest& request) {
  GenerateOptions options = generate_options(config.eval);
  const bool said = is_typed(config, "eval.max_new_tokens");  // in a file it is meant for evaluations
  options.max_new_tokens = request.most.value_or(said ? config.eval.max_new_tokens : usual_most);
  if (request.temperature == 0 && (request.top_k || request.top_p || request.seed))
    user_error(
        "--temperature 0: nothing is drawn; leave out --top-k, --top-p and --seed, or give a temperature above 0");
  if (request.temperature || request.top_k || request.top_p)
    options.sampling = {request.temperature.value_or(1), request.top_k.value_or(0), request.top_p.value_or(1),
                        request.seed.value_or(config.run.seed)};
  else if (request.seed)
    user_error("--seed: nothing is drawn: give --temperature, --top-k or --top-p, too");
  if (options.sampling.temperature > 0 && options.beams > 1)
    user_error(
        "eval.beams = {}: beams are searched, not drawn; set eval.beams = 1 or leave out --temperature, --top-k and --top-p",
        options.beams);
  return options;
}

std::string way_of(const GenerateOptions& options) {
  const TokenSampling& drawn = options.sampling;
  if (options.beams > 1) return fmt::format("best of {} beams", options.beams);
  if (drawn.temperature == 0) return "likeliest tokens";
  return fmt::format("drawn at temperature {:g}{}{}, seed {}", drawn.temperature,
                     drawn.top_k > 0 ? fmt::format(", top_k {}", drawn.top_k) : "",
                     drawn.top_p < 1 ? fmt::format(", top_p {:g}", drawn.top_p) : "", drawn.seed);
}

// Which method answers over what, and how tokens are chosen.
std::string answered_by(const EvalSources& sources, const GenerateOptions& options) {
  const Method& method = sources.methods[0];
  std::string text = "answered by " + method.name;
  if (is_routed(method.kind) && method.name.find("top_k=") == std::string::npos)
    text += method.eval.top_k == 0 ? " (top_k 0: dense)" : fmt::format(" (top_k {})", method.eval.top_k);
  if (!sources.collection_name.empty())
    text += fmt::format(" over {}, {}", sources.collection_name,
                        plural(static_cast<int64_t>(sources.collection.names.size()), "expert"));
  return text + fmt::format("; {}, at most {}", way_of(options), plural(options.max_new_tokens, "token"));
}

// The config with the one method that answers.
Config with_prompt_method(const Config& given, const std::string& asked_for) {
  Config config = given;
  if (!asked_for.empty()) config.eval.methods = {read_method_text(config, asked_for).whole};
  const std::string method = prompt_method(config.eval);
  if (method.empty())
    user_error(
        "{}: no method of {} answers a prompt: poly mixes by a task's name, as oracle and experts choose by it, and a prompt has none. "
        "--method takes mu, shared, z:NAME, phatgoose, arrow, average, spectr, expert:NAME, merged, random or none",
        asked_for.empty() ? methods_origin(given) : "--method", join(config.eval.methods, ", "));
  config.eval.methods = {method};
  return config;
}

Exit answer(const Config& given, const GenerateRequest& request) {
  const Config config = with_prompt_method(given, request.method);
  GenerateOptions options = options_of(config, request);
  const std::string prompt = read_prompt(request.prompt);
  Session session = start_session(config, Purpose::look);
  const Inputs inputs = open_inputs(config);
  const auto base = load_base(config, inputs, session, BaseUse::inference);
  const EvalSources sources = load_sources(config, *base, {}, /*keep=*/true);
  for (const Method& asked : sources.methods)
    if (const std::string reason = not_finite_in(asked, sources.collection); !reason.empty())
      user_error("{} cannot answer: {}; name another method, or leave out what is not finite", asked.name, reason);
  const RoutedCollection& collection = sources.collection;
  log::info("{}", answered_by(sources, options));
  if (const auto& inventory = sources.methods[0].inventory) log::info("{}", inventory->description());
  for (const std::string& note : notes_on(sources.methods, collection, {})) log::info("{}", note);
  const auto adapter = make_adapter(sources.methods[0], collection, sources.prepared, config.run.seed, *base, {});

  const TokenTask task = tokens_of(config, inputs, prompt);
  const TokenExample& example = task.examples(Split::test)[0];
  const GeneratePrompt tokens{example.source, example.input};
  TextStream stream(*inputs.tokenizer);
  options.end = task.end_id;
  options.on_token = [&](size_t, int32_t token) { stream.add(token); };
  if (session.identity.rank == 0) {
    const auto said = generate(*base, adapter.get(), {&tokens, 1}, options)[0];
    stream.finish();
    if (static_cast<int64_t>(said.size()) == options.max_new_tokens)
      log::info("stopped at {} before the answer's end: --max-new-tokens gives it more room",
                plural(options.max_new_tokens, "token"));
    const auto weight = adapter ? adapter->weight_by_expert() : std::vector<double>();
    if (!weight.empty()) std::fprintf(stderr, "\n%s", shares_block(collection, weight).c_str());
  }
  end_session(session);
  return Exit::done;
}

RunCommand declare_generate(CLI::App& parser) {
  const auto request = std::make_shared<GenerateRequest>();
  RunCommand command = with_config(parser, [request](const Config& config) { return answer(config, *request); });
  parser.add_option("PROMPT", request->prompt, "The prompt; -: standard input")->required();
  parser.add_option("--method", request->method, "Answer by this method; without it by one of eval.methods")
      ->option_text("METHOD");
  parser
      .add_option("--max-new-tokens", request->most,
                  fmt::format("Longest answer; without it until its end token, at most {}", usual_most))
      ->option_text("N")
      ->check(integer_from(1, int64_t{1} << 20));
  parser
      .add_option("--temperature", request->temperature,
                  "Draw tokens from softmax(logits / T) instead of taking the likeliest; 0: the likeliest")
      ->option_text("T")
      ->check(number_from(0));
  parser.add_option("--top-k", request->top_k, "Draw among the k likeliest tokens (of experts: --eval.top_k)")
      ->option_text("K")
      ->check(integer_from(1));
  parser
      .add_option("--top-p", request->top_p,
                  "Draw among the fewest likeliest tokens that have this share of probability")
      ->option_text("P")
      ->check(number_from(0, 1));
  parser.add_option("--seed", request->seed, "Of what is drawn: the same seed, the same answer (default: run.seed)")
      ->option_text("N")
      ->check(integer_from(0));
  return command;
}

}  // namespace

Command generate_command() {
  return {"generate", "Answer a prompt through a routed collection", declare_generate,
          "gaggle generate my.toml \"Why is the sky blue?\"\n"
          "gaggle generate my.toml - --temperature 0.7 --top-p 0.9 --seed 1 < prompt.txt"};
}

}  // namespace gaggle
