// The keys themselves, those of training in keys_train.cpp. A default stands in config.h; what a key is for
// stands here and nowhere else.
#include "config/schema.h"

#include "config/keys.h"

namespace gaggle {
namespace {

const std::vector<Key> input_keys = {
    {KEY(run, name), "", "names the run folder"},
    {KEY(run, variant), "", "appended to the name (NAME-VARIANT), so that variants of one config lie side by side"},
    {KEY(run, dir), "", "run folders are made in this folder", a_path()},
    {KEY(run, seed), "", "every random number follows from it", at_least(0)},
    {KEY(run, device), "", "where to compute; auto: a GPU where there is one", one_of({"auto", "cpu", "cuda"})},
    {KEY(run, threads), "threads",
     "per rank; 0: the cores this rank may use (affinity mask, quota of its control group), shared among the ranks "
     "of its host. "
     "Results are the same bits only for the same number",
     between(0, 1024)},
    {KEY(run, strict), "",
     "warnings that bits will differ (ranks on unlike machines; a checkpoint made with other threads, "
     "another processor or LibTorch) become errors"},
    {KEY(run, max_minutes), "minutes",
     "stop this long after the start with everything saved, exit code 75; 0: no limit", between(0, 1e7)},
    {KEY(model, path), "",
     "the base model: a Hugging Face folder, a .gguf file, "
     "or a hub name (org/name) that is in the local hub cache",
     a_path(PathKind::path_or_hub)},
    {KEY(model, revision), "", "of a hub name: branch, tag or commit; empty: main"},
    {KEY(model, dtype), "", "of the frozen weights and activations; auto: bf16 where the hardware is fast in it",
     one_of({"auto", "fp32", "bf16"})},
    {KEY(model, storage), "",
     "how the base's linears are held; int8, nf4: in so few bits, as bitsandbytes makes them; file: as the file has them "
     "(GGUF's types, bitsandbytes' folders). They are expanded to model.dtype for each product",
     one_of({"dtype", "int8", "nf4", "file"})},
    {KEY(model, shard), "",
     "node, world: the ranks of a host, or all, hold one base together: each a part of every matrix, and layers are gathered "
     "one ahead of their use; the same bits. They make every pass together (cluster.ranks_per_expert)",
     one_of({"none", "node", "world"})},
    {KEY(data, tasks), "", "task files (.jsonl) or folders of them; one expert is trained for each", a_path()},
    {KEY(data, prompt), "",
     "template around an example's {input}, or a chat format: chatml, llama3, qwen2, qwen3, qwen3_nothink, mistral; "
     "auto: the model's own chat template, where it is one of these; a task's own prompt wins"},
    {KEY(data, end), "", "end token after every output, as text or \"id:N\"; empty: the tokenizer's end of sequence"},
    {KEY(data, truncate), "",
     "which end of a too long input is cut; auto: left for decoders, "
     "right for what an encoder reads (its end token is kept)",
     one_of({"auto", "left", "right"})},
    {KEY(data, max_input_tokens), "tokens", "longer inputs are cut and counted", between(1, most_tokens)},
    {KEY(data, max_target_tokens), "tokens", "longer outputs are cut and counted", between(1, most_tokens)},
    {KEY(data, limit_examples), "examples", "only the first examples of each split; 0: all", at_least(0)},
    {KEY(data, sampling), "",
     "how often a run over several tasks draws each: size: every example once an epoch; capped: by "
     "min(examples, data.sampling_cap); uniform: equally; temperature: by examples^(1/T)",
     one_of({"size", "capped", "uniform", "temperature"})},
    {KEY(data, sampling_cap), "examples", "of capped sampling: a task counts as at most so many", at_least(0)},
    {KEY(data, sampling_temperature), "", "T of temperature sampling: 1 is by size, more is more even", above(0)},
};

const std::vector<Key> job_keys = {
    {KEY(registry, path), "", "the folder of experts and collections that jobs share", a_path()},
    {KEY(registry, collection), "", "collection that the experts join when all are there; empty: none",
     a_name_in("collections")},
    {KEY(registry, dtype), "", "of the stored LoRA", one_of({"fp32", "bf16", "fp16"})},
    {KEY(registry, cache), "",
     "folder for examples as tokens and how fast work went; may be deleted at any time; empty: none", a_path()},
    {KEY(cluster, ranks_per_expert), "ranks", "that train one expert together", between(1, most_lanes)},
    {KEY(cluster, lease_s), "seconds", "a worker whose counter stands still this long has lost its item",
     between(1, 1e7)},
    {KEY(cluster, independent), "", "every process is its own job, whatever mpirun or srun says"},
    {KEY(cluster, wait), "", "stay until all jobs have finished the items they hold"},
    {KEY(cluster, share_device), "", "allow several ranks on one GPU"},
    {KEY(comm, backend), "",
     "auto: mpi under mpirun or srun, with NCCL from GPU to GPU where it can be had; mpi: tensors in the "
     "hosts' memory; nccl: an error where it cannot be had; self: one process",
     one_of({"auto", "self", "mpi", "nccl"})},
    {KEY(comm, first_timeout_s), "seconds",
     "a rank that stands still longer before its first step is done ends the job, and is named", above(0, 1e7)},
    {KEY(comm, timeout_s), "seconds", "the same, from its first step on: in a collective or at work", above(0, 1e7)},
    {KEY(comm, compare_every), "steps",
     "between comparisons of all ranks' values, which is also done before each checkpoint; 0: only then", at_least(0)},
    {KEY(eval, tasks), "", "task files or folders to score; empty: data.tasks", a_path()},
    {KEY(eval, methods), "",
     "routings to compare: none (base alone), merged (mean of all), random (k by lot), phatgoose, average, arrow, spectr, "
     "arrow+spectr, retrieval, best, expert:NAME, experts (each one), oracle, target; of an inventory: poly (each task's own "
     "routing row), mu (the skills' average), shared, each alone (eval.inventory) or as poly:NAME, and z:NAME (an adapted "
     "routing row). Keys of routing behind a name are its own: \"phatgoose top_k=1 scope=layer\""},
    {KEY(eval, top_k), "experts", "per token and site; 0: all of them (dense)", at_least(0)},
    {KEY(eval, collection), "",
     "which collection to route through, NAME or NAME@version; empty: registry.collection, and where that is empty too all "
     "experts of the registry",
     a_name_in("collections")},
    {KEY(eval, limit_examples), "examples", "per task; 0: all", at_least(0)},
    {KEY(eval, split), "", "which examples are scored", one_of({"test", "validation", "train"})},
    {KEY(eval, arrow), "", "score of the arrow routing: |x·v|, or |x·v| / (10·√d) as PHATGOOSE has it",
     one_of({"mttl", "phatgoose"})},
    {KEY(eval, inventory), "",
     "inventory of the methods poly, mu and shared: NAME or NAME@version; empty: the run's own",
     a_name_in("inventories")},
    {KEY(eval, max_new_tokens), "tokens", "longest generated answer", between(1, most_tokens)},
    {KEY(eval, beams), "beams", "kept while an answer is generated (beam search); 1: greedy", between(1, 64)},
    {KEY(eval, length_penalty), "",
     "of eval.beams > 1: an answer scores log-probability / tokens^length_penalty, "
     "so more favours longer ones"},
    {KEY(eval, granularity), "", "what experts are chosen for: every token, or a whole sequence by its prompt",
     one_of({"token", "sequence"})},
    {KEY(eval, scope), "", "where a choice holds: at one linear, in a layer, or in the whole model",
     one_of({"site", "layer", "model"})},
    {KEY(eval, temperature), "", "scores are divided by it before the softmax", above(0)},
    {KEY(eval, leave_out), "",
     "experts that take no part in routing: names, own (the one of the task itself), category:NAME, own_category"},
    {KEY(eval, calibrate), "",
     "of scores of unlike experts: norm: divided by |scale·B A|; stats: standardised over shared tokens "
     "(gaggle prepare)",
     one_of({"none", "norm", "stats"})},
    {KEY(eval, prior), "",
     "β: added to scores is β times the cosine of the query's and the expert's mean states; 0: off", at_least(0)},
    {KEY(eval, general), "", "λ: of every expert λ times the mean of all is taken (GenKnowSub); 0: off", at_least(0)},
    {KEY(eval, abstain), "",
     "weights are multiplied by each expert's own gate σ(v·x), so that a token may stay with the base"},
    {KEY(eval, prepare_examples), "examples", "of each expert's task, for what methods need prepared", between(1, 1e6)},
    {KEY(eval, embeddings), "",
     "safetensors of vectors of examples, for retrieval and eval.prior; empty: the base's own states", a_path()},
    {KEY(eval, normalise), "",
     "of a choice's nll in rank classification: by its tokens, by its characters, none, or less that of the choice "
     "without the question (prior)",
     one_of({"tokens", "characters", "none", "prior"})},
    {KEY(eval, shots), "examples", "solved ones before each question", between(0, 1000)},
    {KEY(eval, shots_split), "", "where these are from", one_of({"train", "validation"})},
    {KEY(eval, stem), "", "ROUGE-L compares words by their stems"},
    {KEY(checkpoint, every), "",
     "between checkpoints of unfinished experts: a number of steps, or \"10 minutes\"; 0: only when stopped"},
    {KEY(checkpoint, keep), "checkpoints", "older ones are deleted", between(1, 1e6)},
    {KEY(report, tensorboard), "", "write event files for TensorBoard into the run folder"},
    {KEY(plan, tasks), "tasks", "how many there will be", between(1, 1e6)},
    {KEY(plan, examples), "examples", "for training, of each task", between(1, 1e7)},
    {KEY(plan, input_tokens), "tokens", "of an example's input; 0: data.max_input_tokens", between(0, most_tokens)},
    {KEY(plan, target_tokens), "tokens", "of an example's output; 0: data.max_target_tokens", between(0, most_tokens)},
    {KEY(plan, gpu), "", "kind of GPU", one_of({"a100-40", "a100", "h100", "h200", "b200", "l40s"})},
    {KEY(plan, gpus), "GPUs", "that share the work", between(1, 1e6)},
    {KEY(plan, share), "share of the peak", "of a GPU's dense bf16 rate that training reaches", above(0)},
};

}  // namespace

const std::vector<Section>& config_sections() {
  static const std::vector<Section> sections = {
      {"run", "the run as a whole"},
      {"model", "the frozen base model"},
      {"data", "tasks and how their examples become tokens"},
      {"lora", "the experts' adapters"},
      {"train", "training of one expert, or of what many tasks share"},
      {"gate", "training of its gate vectors"},
      {"poly", "skills shared by many tasks, mixed by a routing table (gaggle pretrain)"},
      {"adapt", "few-shot adaptation of a pretrained inventory to new tasks (gaggle adapt)"},
      {"alignment", "whether the gradients of different tasks agree"},
      {"registry", "where experts are stored"},
      {"cluster", "how processes share the work"},
      {"comm", "how processes talk"},
      {"eval", "scoring the routed collection"},
      {"checkpoint", "saving unfinished experts"},
      {"report", "what is written for people"},
      {"plan", "what --dry-run assumes where a model folder holds config.json and no weights"},
  };
  return sections;
}

const std::vector<Key>& config_keys() {
  static const std::vector<Key> keys = [] {
    std::vector<Key> all;
    for (const auto* part : {&input_keys, &expert_keys, &multitask_keys, &job_keys})
      all.insert(all.end(), part->begin(), part->end());
    return all;
  }();
  return keys;
}

const Key* find_key(const std::string& full) {
  for (const Key& key : config_keys())
    if (key.full() == full) return &key;
  return nullptr;
}

}  // namespace gaggle
