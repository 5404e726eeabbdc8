"""Arrow beside PEFT's own, on experts whose first singular value stands out: PEFT's power iteration ends there in 15 steps."""
import json
import shutil

import kinds
import torch
from safetensors.torch import load as load_bytes
from safetensors.torch import load_file, save_file
from test_gaggle_torch import write_collection, write_expert

TEXTS = [[5, 17, 80, 3, 44, 9, 120, 33], [7, 7, 250, 1, 90], [200, 100, 50, 25, 12, 6, 3, 1, 150, 75]]


def with_one_strong_direction(folder, seed):
    """Singular values of B A that fall by half: A's rows and B's columns orthonormal, but for these."""
    path = folder / "adapter_model.safetensors"
    tensors, generator = load_file(path), torch.Generator().manual_seed(seed)
    for key, a in list(tensors.items()):
        if ".lora_A." not in key:
            continue
        b_key = key.replace(".lora_A.", ".lora_B.")
        rank, d_in, d_out = a.shape[0], a.shape[1], tensors[b_key].shape[0]
        rows = torch.linalg.qr(torch.randn(d_in, rank, generator=generator))[0].T
        columns = torch.linalg.qr(torch.randn(d_out, rank, generator=generator))[0]
        tensors[key] = rows.contiguous()
        tensors[b_key] = (columns * 0.5 ** torch.arange(rank)).contiguous()
    save_file(tensors, path)


@torch.no_grad()
def test_arrow_is_pefts(probe, tmp_path):
    from peft import ArrowConfig, create_arrow_model

    kinds.make(tmp_path / "llama", "llama", seed=5)
    names, registry = ["a", "b", "c", "d"], tmp_path / "registry"
    for seed, name in enumerate(names):
        write_expert(tmp_path / "llama", registry, name, dict(r=4, lora_alpha=8, target_modules="all-linear"), False, seed)
        with_one_strong_direction(registry / "experts" / name / "v0001", seed)
    write_collection(registry, "all", names)
    (registry / "registry.json").write_text(json.dumps({"format": 2, "base": {"name": "tiny", "shapes": "", "content": ""}}))
    folders = []
    for name in names:
        folders.append(str(shutil.copytree(registry / "experts" / name / "v0001", tmp_path / name)))
    rows = [{"input": text, "target": [0]} for text in TEXTS]
    for k in (1, 2, 4):
        model = create_arrow_model(kinds.load(tmp_path / "llama", "llama", dtype=torch.float32), folders, ArrowConfig(top_k=k)).eval()
        theirs = torch.cat([model(torch.tensor([text])).logits[0] for text in TEXTS])
        done = probe.run("routed-logits", tmp_path / "llama", registry, "all", "arrow", k,
                         stdin=json.dumps({"rows": rows}).encode())
        mine = load_bytes(done.stdout)["logits"]
        assert (mine.double() - theirs.double()).norm() <= 1e-4 * theirs.double().norm(), k
