// The keys of training: one expert, its gate, and what is trained on many tasks.
#include "config/keys.h"

namespace gaggle {
namespace {

constexpr double most_pack = 1024;

}  // namespace

const std::vector<Key> expert_keys = {
    {KEY(lora, rank), "", "rank r of A and B", between(1, 4096)},
    {KEY(lora, alpha), "", "the adapter's scale is alpha / rank; train.lr's default belongs to alpha 1, at any rank",
     above(0)},
    {KEY(lora, targets), "", "module name endings (q_proj, v_proj, …) or all-linear; empty: all linears but the head"},
    {KEY(lora, init_std), "", "A starts as N(0, init_std²), B as 0", above(0)},
    {KEY(lora, init_from), "", "a PEFT LoRA folder whose values to start from instead", a_path()},
    {KEY(train, epochs), "epochs", "passes over a task's training examples; train.steps wins when given",
     above(0, 1e6)},
    {KEY(train, steps), "steps", "optimiser steps per expert; 0: as train.epochs says", between(0, most_steps)},
    {KEY(train, batch_size), "examples", "per optimiser step, whatever the number of ranks", between(1, most_batch)},
    {KEY(train, lr), "", "learning rate; not set: 5e-3, which belongs to lora.alpha = 1 (another alpha needs its own)",
     above(0)},
    {KEY(train, warmup), "share of the steps", "the learning rate grows linearly from 0 over these", between(0, 1)},
    {KEY(train, schedule), "", "after warm-up: constant, or linear decay to 0", one_of({"constant", "linear"})},
    {KEY(train, optimizer), "",
     "adamw: betas 0.9 and 0.999, eps 1e-8; adafactor: factored second moments, update clipped at RMS 1",
     one_of({"adamw", "adafactor"})},
    {KEY(train, scale_parameter), "", "adafactor: the learning rate is relative to each tensor's RMS"},
    {KEY(train, weight_decay), "", "decay of the weights, apart from the gradient; never of routing tables",
     at_least(0)},
    {KEY(train, label_smoothing), "", "share of the target that is spread over the whole vocabulary", from_below(0, 1)},
    {KEY(train, dropout), "",
     "of the frozen base itself while adapters train: T5 was trained with 0.1; Llama-shaped models have none",
     from_below(0, 1)},
    {KEY(train, clip), "", "largest joint norm of the gradient; 0: no clipping", at_least(0)},
    {KEY(train, tokens_per_microbatch), "tokens",
     "a batch is computed in pieces of about this many tokens; more needs more memory", between(1, most_microbatch)},
    {KEY(train, recompute), "",
     "layer: of every layer its input alone is kept and the layer is computed again before its backward pass: the same "
     "bits, a third more work, far less memory; auto: where the plan's memory is more than is free",
     one_of({"auto", "none", "layer"})},
    {KEY(train, lanes), "lanes",
     "a batch is always summed as this many parts, so that results do not depend on the number of ranks; "
     "0: 1 for one rank per expert, else the smallest power of two >= max(8, ranks)",
     between(0, most_lanes)},
    {KEY(train, loss_average), "",
     "token: mean over the batch's target tokens; example: mean of per-example means; "
     "sum: summed nll per example",
     one_of({"token", "example", "sum"})},
    {KEY(train, combine), "",
     "how gaggle pretrain joins the gradients of a step's tasks: sum; upgrad, pcgrad: so that no task's loss grows by the "
     "others' (by the Gram of their gradients)",
     one_of({"sum", "upgrad", "pcgrad"})},
    {KEY(train, pack), "experts",
     "so many, of like numbers of steps, go through their steps together, which fills a device that one small expert "
     "leaves idle; they know each other in their keys; auto: as many as fill train.tokens_per_microbatch",
     between(1, most_pack)},
    {KEY(train, validate_every), "steps", "validation loss every so often; 0: only at the end", at_least(0)},
    {KEY(train, keep), "", "which step's weights are kept; best: by validation loss (needs validate_every)",
     one_of({"last", "best"})},
    {KEY(gate, steps), "steps", "optimiser steps for the gate vectors, after the LoRA; 0: no gates",
     between(0, most_steps)},
    {KEY(gate, batch_size), "examples", "per gate step; 0: train.batch_size", between(0, most_batch)},
    {KEY(gate, lr), "", "learning rate of the gates; not set: 5e-3", above(0)},
    {KEY(gate, warmup), "share of the steps", "as train.warmup", between(0, 1)},
    {KEY(gate, bias), "",
     "b of σ(v·x + b) while gates train, dropped at routing; below 0 (say -2) a gate starts nearly closed, and a strong "
     "expert's keeps a gradient",
     between(-20, 20)},
    {KEY(gate, tasks), "",
     "[gate.tasks] EXPERT = \"file.jsonl\": the gate's task, "
     "where no task of data.tasks has the expert's name",
     a_path()},
};

const std::vector<Key> multitask_keys = {
    {KEY(poly, method), "",
     "mhr: every task mixes K skills, each head by itself; poly: with one head; shared: one adapter for all "
     "tasks; private: one for each",
     one_of({"poly", "mhr", "shared", "private"})},
    {KEY(poly, adapter), "",
     "what a skill is: low-rank pairs, or (IA)³'s rescaling vectors (lora.targets not set: k_proj, v_proj, "
     "down_proj; of T5 k, v, wi_1)",
     one_of({"lora", "ia3"})},
    {KEY(poly, skills), "skills", "K of the inventory", between(1, 4096)},
    {KEY(poly, heads), "heads",
     "h of mhr: a skill is cut into this many blocks, each with its own routing; it divides the width of "
     "every adapted module. Not set: 1 where the method is not mhr",
     between(1, 65536)},
    {KEY(poly, rank), "", "rank r of a skill's pair; the scale is 1 / rank", between(1, 4096)},
    {KEY(poly, init_from), "", "a PEFT Poly (with ia3: (IA)³) folder whose values to start from instead", a_path()},
    {KEY(poly, sample), "",
     "routing in training: none: the plain sigmoid; else RelaxedBernoulli samples, per example or per task "
     "of a step",
     one_of({"none", "example", "task"})},
    {KEY(poly, temperature), "", "of the samples", above(0)},
    {KEY(poly, router_lr), "", "learning rate of the routing table", above(0)},
    {KEY(poly, router_granularity), "", "what shares a row of the routing table",
     one_of({"site", "layer", "stack", "model"})},
    {KEY(poly, average_last_steps), "steps", "routing goes over to uniform in these last steps; 0: never", at_least(0)},
    {KEY(poly, average_from), "steps",
     "from this step on routing is uniform, so that the skills' mean serves unseen tasks; 0: never", at_least(0)},
    {KEY(adapt, from), "", "the inventory to start from: NAME or NAME@version", a_name_in("inventories")},
    {KEY(adapt, shared_from), "", "for method shared: an inventory of poly.method = \"shared\"",
     a_name_in("inventories")},
    {KEY(adapt, method), "",
     "what is trained on the new task, one or several: full: a fresh routing row and the skills; z: the "
     "routing row alone; mu: the skills' average; random: as full, from fresh skills; shared: the shared "
     "adapter; lora: one from scratch on the inventory's modules, of its rank, scale 1 / rank, "
     "A from lora.init_std",
     one_of({"full", "z", "mu", "random", "shared", "lora"})},
    {KEY(adapt, tasks), "", "task files or folders of the new tasks; empty: data.tasks", a_path()},
    {KEY(adapt, shots), "examples", "training examples per task, one or several counts; 0: all", at_least(0)},
    {KEY(adapt, seeds), "", "how many: run.seed, run.seed + 1, …", between(1, 10000)},
    {KEY(adapt, mu), "",
     "of method mu: collapsed: one averaged adapter is trained; kept: the K skills are, under fixed uniform "
     "weights, and averaged at the end (as the papers did)",
     one_of({"collapsed", "kept"})},
    {KEY(adapt, loss), "", "lm: nll of the output; tfew: also unlikelihood and ranking of the wrong choices",
     one_of({"lm", "tfew"})},
    {KEY(adapt, steps), "steps", "optimiser steps per task", between(1, most_steps)},
    {KEY(adapt, batch_size), "examples", "per optimiser step", between(1, most_batch)},
    {KEY(adapt, lr), "", "learning rate of skills and adapters; not set: train.lr, else 1e-3", above(0)},
    {KEY(adapt, router_lr), "", "learning rate of the routing row; not set: poly.router_lr", above(0)},
    {KEY(alignment, every), "steps", "between measurements; 0: none", at_least(0)},
    {KEY(alignment, tasks), "", "names of the tasks that are compared; empty: all"},
    {KEY(alignment, sites), "", "module name endings that count; empty: all adapted ones"},
    {KEY(alignment, space), "", "gradients of what: skill: the shared skills; mixed: each task's mixture of them",
     one_of({"skill", "mixed", "both"})},
    {KEY(alignment, sketch), "dimensions",
     "of a count sketch of each task's gradient; 0: exact as long as alignment.memory_mb lasts", between(0, 1 << 24)},
    {KEY(alignment, memory_mb), "MiB", "for per-task gradients; beyond it sketches are kept instead",
     between(1, 1 << 24)},
    {KEY(alignment, window), "measurements", "that the noise-free estimate is accumulated over", between(1, 1e6)},
    {KEY(alignment, examples), "examples",
     "per task of `gaggle experts`, for the sketch of its gradient at the common start; 0: none", between(0, 1e6)},
};

}  // namespace gaggle
