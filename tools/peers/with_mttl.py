"""What mttl 1.0.2 puts on a base. "shipped": as it is. "mended": its containers heed lora_merge_after, which they do
not of themselves, so that a gate scales what B A x gives; as shipped it scales A and B, and so is applied twice."""
import sys
import types


def prepare():
    """Newer tritons lack a module that mttl imports for adapters which are not used here; and mttl puts an attention for
    packed rows, with fewer arguments than transformers now gives, in the place of torch's, which is taken back."""
    names = ["triton.ops", "triton.ops.blocksparse", "triton.ops.blocksparse.matmul"]
    for name in names:
        sys.modules.setdefault(name, types.ModuleType(name))
    for name in ("dsd_lut", "sdd_lut", "_matmul"):
        setattr(sys.modules[names[-1]], name, None)
    sys.modules[names[1]].matmul = sys.modules[names[-1]]

    import mttl  # noqa: F401
    import torch

    torch.nn.functional.scaled_dot_product_attention = torch.nn.functional._default_scaled_dot_product_attention


def multi_expert(job, model, selector):
    from mttl.models.expert_model import MultiExpertModel, MultiExpertModelConfig
    from mttl.models.library.expert import Expert, ExpertInfo
    from mttl.models.modifiers.lora import LoRAConfig

    layers = ".*(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
    config = LoRAConfig(modify_layers=layers, lora_rank=job["rank"], lora_alpha=1, lora_dropout=0.0,
                        lora_init_b_random=True)
    multi = MultiExpertModel.init_from_model(MultiExpertModelConfig(base_model=None, selector_config=selector), model)
    for i in range(job["count"]):
        multi.add_expert_instance(Expert(ExpertInfo(f"e{i}", expert_config=config), {}), is_default=i == 0)
    for parameter in multi.parameters():
        parameter.requires_grad = False
    for container in multi.experts_containers:
        container.lora_merge_after = job["adapter"].endswith("mended")
    return multi


def mttl_gates(job, model):
    prepare()
    from mttl.models.containers.selectors.phatgoose_selector import PhatgooseTrainerSelectorConfig

    multi = multi_expert(job, model, PhatgooseTrainerSelectorConfig())
    trained = [container.selector.gates["e0"].v for container in multi.experts_containers]
    for gate in trained:
        gate.requires_grad = True

    def forget_logs(batch):
        for container in multi.experts_containers:
            container.selector.routing_gates.clear()  # what mttl's callback does after it has written them
        return {}

    return multi, trained, forget_logs


def mttl_phatgoose(job, model):
    prepare()
    import torch
    from mttl.models.containers.selectors.phatgoose_selector import PhatgooseSelectorConfig

    multi = multi_expert(job, model, PhatgooseSelectorConfig(top_k=2, selector_logging=False))
    for container in multi.experts_containers:
        container.selector.overwrite_prototypes(torch.randn_like(container.selector.prototypes))
    return multi.eval(), [], lambda batch: {}
