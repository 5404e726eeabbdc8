// The resolved configuration as plain structs, one per section. The schema (schema.cpp) names every key once,
// with type, default, unit, help and check; reading is in read.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace gaggle {

struct RunConfig {
  std::string name = "run";  // names the run folder
  std::string variant;       // appended to the name, so that variants of one config lie side by side
  std::string dir = "runs";  // run folders are made here
  uint64_t seed = 0;
  std::string device = "auto";  // auto | cpu | cuda
  int threads = 0;              // per rank; 0: the cores of the affinity mask, shared among the ranks of the host
  bool strict = false;          // warnings about reproducibility become errors
  double max_minutes = 0;       // stop early (exit 75) after this long; 0: no limit

  // NAME[-VARIANT]: the run folder, and what a pretraining run commits under.
  std::string full_name() const { return variant.empty() ? name : name + "-" + variant; }
};

struct ModelConfig {
  std::string path;               // folder, .gguf file, or hub name looked up in the local hub cache
  std::string revision;           // of a hub name: branch, tag or commit; "": main
  std::string dtype = "auto";     // auto | fp32 | bf16
  std::string storage = "dtype";  // dtype | int8 | nf4 | file: what the linears are held as
  std::string shard = "none";     // none | node | world: ranks that hold one base together
};

struct DataConfig {
  std::vector<std::string> tasks;    // JSONL files or folders of them; relative to the config file
  std::string prompt = "{input}\n";  // template, or chatml | llama3 | qwen2 | qwen3 | qwen3_nothink | mistral | auto
  std::string end;                   // end token by text or "id:N"; "": the tokenizer's end of sequence
  // left | right: which end of a too long input is cut; auto: left for decoders, right for an encoder's
  std::string truncate = "auto";
  int64_t max_input_tokens = 512;
  int64_t max_target_tokens = 512;
  int64_t limit_examples = 0;  // of each split; 0: all
  // Of several tasks in one run: how often each is drawn.
  std::string sampling = "size";    // size | capped | uniform | temperature
  int64_t sampling_cap = 0;         // capped: a task counts as at most so many examples
  double sampling_temperature = 1;  // temperature: weights n^(1/T)
};

struct LoraConfig {
  int64_t rank = 16;
  double alpha = 1;                  // scale = alpha / rank: at any rank the same learning rate will do
  std::vector<std::string> targets;  // module name endings or "all-linear" (empty: all linears)
  double init_std = 0.01;            // A ~ N(0, init_std²), B = 0
  std::string init_from;             // a PEFT LoRA folder to start from

  // Whether train.lr's default belongs to it: alpha 1, or scale 1/16, which at PHATGOOSE's rank 16 are one.
  bool has_default_lr() const {
    const double scale = alpha / static_cast<double>(rank);
    return alpha == 1 || (16 * scale > 1 - 1e-9 && 16 * scale < 1 + 1e-9);
  }
};

// So many, or as many as the program thinks right.
struct CountOrAuto {
  int64_t count = 1;  // 0: "auto"
};

struct TrainConfig {
  double epochs = 3;
  int64_t steps = 0;                  // wins over epochs when given
  int64_t batch_size = 32;            // examples per optimiser step
  std::optional<double> lr;           // 5e-3 belongs to lora.alpha = 1; another one needs its own
  double warmup = 0.06;               // share of the steps
  std::string schedule = "constant";  // constant | linear
  std::string optimizer = "adamw";    // adamw | adafactor
  bool scale_parameter = false;       // adafactor: the rate is relative to each tensor's RMS
  double weight_decay = 0;
  double label_smoothing = 0;  // share of the target spread over the whole vocabulary
  double dropout = 0;          // inside the frozen base (T5)
  double clip = 1;             // joint gradient norm; 0: none
  int64_t tokens_per_microbatch = 2048;
  std::string recompute = "auto";      // auto | none | layer: what a layer keeps for its backward pass
  int64_t lanes = 0;                   // 0: 1 for one rank, else the smallest power of two >= max(8, ranks)
  std::string loss_average = "token";  // token | example | sum
  std::string combine = "sum";         // sum | upgrad | pcgrad: of several tasks' gradients
  CountOrAuto pack;                    // experts that go through their steps together
  int64_t validate_every = 0;          // steps; 0: only at the end
  std::string keep = "last";           // last | best (by validation loss)
};

struct GateConfig {
  int64_t steps = 100;
  int64_t batch_size = 0;    // 0: as train
  std::optional<double> lr;  // default 5e-3
  double warmup = 0.06;
  double bias = 0;                           // b of σ(v·x + b) in training; dropped at routing
  std::map<std::string, std::string> tasks;  // expert name → task file, where the task is not of the expert's name
};

// Poly / MHR: skills shared by all tasks, mixed by a routing table.
struct PolyConfig {
  std::string method = "mhr";    // poly | mhr | shared | private
  std::string adapter = "lora";  // lora | ia3
  int64_t skills = 8;            // K
  int64_t heads = 8;             // h, of mhr
  int64_t rank = 1;
  std::string init_from;                    // a PEFT Poly folder to start from
  std::string sample = "none";              // none | example | task: RelaxedBernoulli samples in training
  double temperature = 1;                   // of the samples
  double router_lr = 0.1;                   // of the routing table
  std::string router_granularity = "site";  // site | layer | stack | model: what shares a routing row
  int64_t average_last_steps = 0;           // routing goes over to uniform in these (cosine)
  int64_t average_from = 0;                 // from this step on routing is uniform (zero-shot μ); 0: never
};

// Few-shot adaptation of a pretrained Poly / MHR inventory to new tasks.
struct AdaptConfig {
  std::string from;                            // inventory of the registry, NAME or NAME@version
  std::string shared_from;                     // of method shared: an inventory of poly.method = "shared"
  std::vector<std::string> method = {"full"};  // full | z | mu | random | shared | lora, one or several
  std::vector<std::string> tasks;              // files or folders; empty: data.tasks
  std::vector<int64_t> shots = {32};           // training examples, one or several counts; 0: all
  int64_t seeds = 3;                           // run.seed, run.seed + 1, …
  std::string mu = "collapsed";                // collapsed | kept
  std::string loss = "lm";                     // lm | tfew: + unlikelihood and rank classification
  int64_t steps = 100;
  int64_t batch_size = 16;
  std::optional<double> lr;         // of skills and adapters; default train.lr, else 1e-3
  std::optional<double> router_lr;  // default poly.router_lr
};

// Gradient alignment between tasks.
struct AlignmentConfig {
  int64_t every = 0;               // steps between measurements; 0: none
  std::vector<std::string> tasks;  // empty: all
  std::vector<std::string> sites;  // module name endings; empty: all
  std::string space = "skill";     // skill | mixed | both
  int64_t sketch = 0;              // dimensions of a count sketch; 0: exact while memory_mb lasts
  int64_t memory_mb = 2048;        // of per-task gradients; beyond it a sketch is kept instead
  int64_t window = 20;             // measurements that the noise-free estimate is accumulated over
  int64_t examples = 16;           // per task of the experts' sketches; 0: none
};

struct RegistryConfig {
  std::string path = "registry";
  std::string collection;                 // made at the end; "": none
  std::string dtype = "fp32";             // of the stored LoRA: fp32 | bf16 | fp16
  std::string cache = "~/.cache/gaggle";  // token cache
};

struct ClusterConfig {
  int64_t ranks_per_expert = 1;
  double lease_s = 120;
  bool independent = false;   // every process is its own job, whatever the launcher says
  bool wait = false;          // stay while others hold items
  bool share_device = false;  // several ranks on one GPU
};

struct CommConfig {
  std::string backend = "auto";  // auto | self | mpi | nccl (threads: inside tests only)
  double first_timeout_s = 1800;
  double timeout_s = 600;
  int64_t compare_every = 100;  // steps; 0: only before checkpoints
};

struct EvalConfig {
  std::vector<std::string> tasks;  // as data.tasks; empty: data.tasks
  std::vector<std::string> methods = {"none", "merged", "phatgoose"};
  int64_t top_k = 2;       // 0: dense (all experts)
  std::string collection;  // "": registry.collection
  int64_t limit_examples = 0;
  std::string split = "test";  // test | validation | train
  std::string arrow = "mttl";  // mttl | phatgoose: how arrow scores become weights
  std::string inventory;       // of methods poly, mu, shared; empty: the run's own
  int64_t max_new_tokens = 32;
  int64_t beams = 1;                   // of generation; 1: greedy
  double length_penalty = 1;           // of beam search
  std::string granularity = "token";   // token | sequence: what a choice of experts is made for
  std::string scope = "site";          // site | layer | model: where it holds
  double temperature = 1;              // of the softmax over scores
  std::vector<std::string> leave_out;  // experts that take no part (eval/left_out.h)
  std::string calibrate = "none";      // none | norm | stats: what makes scores of unlike experts comparable
  double prior = 0;                    // β of the likeness of query and expert; 0: off
  double general = 0;                  // λ of the mean expert that is taken from each
  bool abstain = false;                // weights times each expert's own trained gate
  int64_t prepare_examples = 1000;     // of each expert's task, for what a method prepares
  std::string embeddings;              // file of vectors of examples; empty: the base's own states
  std::string normalise = "tokens";    // tokens | characters | none | prior: of rank classification
  int64_t shots = 0;                   // examples in context
  std::string shots_split = "train";   // where they are from
  bool stem = false;                   // of ROUGE-L
};

// Every so many steps, or every so many minutes; both 0: never.
struct Interval {
  int64_t steps = 0;
  double minutes = 0;
};

struct CheckpointConfig {
  Interval every = {100, 0};  // 0: only when stopped
  int64_t keep = 1;
};

// What a dry run takes for given where there is nothing to look at but a model's config.json.
struct PlanConfig {
  int64_t tasks = 1;
  int64_t examples = 1000;    // of a task
  int64_t input_tokens = 0;   // of an example; 0: data.max_input_tokens
  int64_t target_tokens = 0;  // 0: data.max_target_tokens
  std::string gpu = "h100";
  int64_t gpus = 1;
  double share = 0.4;  // of the peak that training reaches
};

struct ReportConfig {
  bool tensorboard = true;
};

struct Config {
  RunConfig run;
  ModelConfig model;
  DataConfig data;
  LoraConfig lora;
  TrainConfig train;
  GateConfig gate;
  PolyConfig poly;
  AdaptConfig adapt;
  AlignmentConfig alignment;
  RegistryConfig registry;
  ClusterConfig cluster;
  CommConfig comm;
  EvalConfig eval;
  CheckpointConfig checkpoint;
  ReportConfig report;
  PlanConfig plan;

  std::string file;  // the config file, for messages
  // Where each key that was set came from ("demo.toml:14:1", "--train.lr"), by "section.key".
  std::map<std::string, std::string> origin;
};

}  // namespace gaggle
