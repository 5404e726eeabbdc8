"""Folders whose tokenizer files say different things: what transformers makes of them is right. A new case is a line of CASES."""
import json
import random

import pytest

from text.asking import assert_same
from text.lines import lines

transformers = pytest.importorskip("transformers")
pytest.importorskip("sentencepiece")
pytest.importorskip("google.protobuf")
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers  # noqa: E402

NAMED = ["<s>", "</s>", "<unk>", "<pad>", "<|endoftext|>", "<|im_end|>", "<tool>", "<new>", "the", "quick", "<bos>", "<eos>"]


def write_bytes(folder):
    """GPT-2's kind. "<pad>" and "<|endoftext|>" are in the vocabulary, and no added tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(lines(300, seed=3), trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<s>", "</s>", "<unk>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False), AddedToken("<|im_end|>", special=True, normalized=False)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    data = json.loads(tokenizer.to_str())
    data["model"]["vocab"].update({"<pad>": 600, "<|endoftext|>": 601})
    for token, id in zip(data["added_tokens"][3:], (602, 603)):
        token["id"] = id
    (folder / "tokenizer.json").write_text(json.dumps(data))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}))


def write_pieces(folder):
    """Llama's kind, with tokenizer.model beside."""
    import sentencepiece
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines(300, seed=3)), model_prefix=str(folder / "raw"), vocab_size=900, model_type="bpe", byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, character_coverage=0.99,
        minloglevel=2)
    tokenizer = transformers.LlamaTokenizerFast(vocab_file=str(folder / "raw.model"))
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False), AddedToken("<|im_end|>", special=True, normalized=False)])
    tokenizer.save_pretrained(folder)


WRITE = {"bytes": write_bytes, "pieces": write_pieces}


def decoder(**tokens):
    """added_tokens_decoder: name, id=(content, flags that are true, …)."""
    return {"added_tokens_decoder": {id.strip("_"): dict(
        {"content": content, "special": False, "normalized": False, "lstrip": False, "rstrip": False, "single_word": False},
        **{flag: True for flag in flags}) for id, (content, *flags) in tokens.items()}}


def added(content, **changes):
    def change(data):
        next(token for token in data["added_tokens"] if token["content"] == content).update(changes)
    return change


def one_more(**token):
    flags = {"special": False, "normalized": False, "lstrip": False, "rstrip": False, "single_word": False}
    return lambda data: data["added_tokens"].append({**flags, **token})


def ends(data):
    data["post_processor"]["single"].append({"SpecialToken": {"id": "<s>", "type_id": 0}})


def prefix_space(data):
    data["pre_tokenizer"]["add_prefix_space"] = True


def as_dict(content, **flags):
    return {"__type": "AddedToken", "content": content, "lstrip": False, "rstrip": False, "normalized": True, "single_word": False,
            **flags}


def of(name):
    return {"tokenizer_class": name}


# name: (kind, changes of tokenizer_config.json (DROP: the key goes), changes of tokenizer.json, further files)
DROP = object()
OLD = {"added_tokens_decoder": DROP}
CASES = {
    "as it was": ("bytes", {}),
    "as it was, pieces": ("pieces", {}),
    # the rule around a text
    **{f"{name} {flags}": ("bytes", {**of(name), **flags})
       for name in ["PreTrainedTokenizerFast", "LlamaTokenizerFast", "LlamaTokenizer", "CodeLlamaTokenizerFast", "GemmaTokenizer", "CohereTokenizerFast",
                    "GPTNeoXTokenizerFast", "GPT2Tokenizer", "Qwen2Tokenizer", "BloomTokenizerFast"]
       for flags in [{}, {"add_bos_token": True, "add_eos_token": True}, {"add_bos_token": False}, {"add_bos_token": None}]},
    "template with an end, Llama": ("bytes", of("LlamaTokenizerFast"), ends),
    "template with an end, Qwen2": ("bytes", of("Qwen2TokenizerFast"), ends),
    "another bos than the template's": ("bytes", {"bos_token": "<pad>"}),
    "another bos than the template's, Llama": ("bytes", {**of("LlamaTokenizerFast"), "bos_token": "<pad>"}),
    # tokens with a meaning
    **{f"{name} names none": ("bytes", {**of(name), "bos_token": DROP, "eos_token": DROP})
       for name in ["PreTrainedTokenizerFast", "LlamaTokenizer", "GPT2Tokenizer", "Qwen2Tokenizer", "GPTNeoXTokenizerFast", "GemmaTokenizer", "CodeGenTokenizer",
                    "CohereTokenizer"]},
    "null bos, Qwen2": ("bytes", {**of("Qwen2Tokenizer"), "bos_token": None, "eos_token": None}),
    "eos in the vocabulary, not added": ("bytes", {"eos_token": "<|endoftext|>"}),
    "eos is a word": ("bytes", {"eos_token": "a"}),
    "eos is no special token": ("bytes", {"eos_token": "<tool>"}),
    "eos is no special token, and is in the decoder": ("bytes", {"eos_token": "<tool>", **decoder(_602=("<tool>",))}),
    "eos is no special token, and is not in the decoder": ("bytes", {"eos_token": "<tool>", **decoder(_1=("</s>", "special"))}),
    "eos written out": ("bytes", {"eos_token": as_dict("</s>", lstrip=True)}),
    "eos written out, not added": ("bytes", {"eos_token": as_dict("<|endoftext|>", rstrip=True)}),
    "eos written out, beside a decoder": ("bytes", {"eos_token": as_dict("</s>", lstrip=True), **decoder(_2=("<unk>", "special"))}),
    "pad and unk nobody has": ("bytes", {"pad_token": "<new>", "unk_token": "[UNK]"}),
    "pad nobody has, pieces": ("pieces", {"pad_token": "<new>"}),
    "additional ones": ("bytes", {"additional_special_tokens": ["<tool>", "<new>", "quick", as_dict("<|im_end|>", lstrip=True)]}),
    "extra ones": ("bytes", {"extra_special_tokens": {"image_token": "<tool>", "boi_token": "<new>"}}),
    # added_tokens_decoder
    "other ids": ("bytes", decoder(_7=("<tool>",), _900=("<new>", "special"), _0=("<s>", "special"), _800=("<bos>",))),
    "other ids, pieces": ("pieces", decoder(_7=("<tool>",), _950=("<new>", "special"), _0=("<unk>", "special"), _930=("<bos>",))),
    "other contents": ("bytes", decoder(_602=("<new>",), _603=("<tool>",))),
    **{f"other flags: {flag}": ("bytes", decoder(_602=("<tool>", flag))) for flag in ["lstrip", "rstrip", "normalized", "special", "single_word"]},
    "no longer special": ("bytes", decoder(_603=("<|im_end|>",))),
    "no longer special, named": ("bytes", {**decoder(_1=("</s>",)), "bos_token": "</s>"}),
    "an empty decoder": ("bytes", {"added_tokens_decoder": {}, "eos_token": "<tool>"}),
    # ids of tokenizer.json
    "an id of the vocabulary": ("bytes", {}, one_more(id=50, content="<new>")),
    "an id with a gap": ("bytes", {}, one_more(id=5000, content="<new>", special=True)),
    "the same id twice": ("bytes", {}, one_more(id=603, content="<new>")),
    "another id than the vocabulary's": ("bytes", {}, added("</s>", id=77)),
    "the same token twice": ("bytes", {}, one_more(id=604, content="<tool>", lstrip=True)),
    "a word, normalised": ("bytes", {}, one_more(id=604, content="quick", normalized=True, single_word=True)),
    # spaces
    "a space the config does not ask for": ("bytes", {}, prefix_space),
    "a space the config does not ask for, Llama": ("bytes", of("LlamaTokenizerFast"), prefix_space),
    "a space the config does not ask for, GPT2": ("bytes", of("GPT2Tokenizer"), prefix_space),
    "null": ("bytes", {"add_prefix_space": None}, prefix_space),
    "a space the file does not have": ("bytes", {"add_prefix_space": True}),
    "a space the file does not have, Qwen2": ("bytes", {**of("Qwen2Tokenizer"), "add_prefix_space": True}),
    **{f"{space} {legacy}": ("pieces", {"add_prefix_space": space, "legacy": legacy}) for space in (True, False, None) for legacy in (True, False)},
    **{f"tokenizer.model alone {space}": ("pieces", {"add_prefix_space": space}, None, {"tokenizer.json": DROP}) for space in (True, False, None)},
    "clean-up": ("bytes", {"clean_up_tokenization_spaces": True}),
    "clean-up, pieces": ("pieces", {"clean_up_tokenization_spaces": True}),
    # what changes no ids
    "others": ("bytes", {"do_lower_case": True, "model_max_length": 3, "padding_side": "left", "truncation_side": "left"}),
    "truncation and padding": ("bytes", {}, lambda data: data.update(
        truncation={"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
        padding={"strategy": {"Fixed": 8}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<s>"})),
    "ids of config.json": ("bytes", {}, None, {"config.json": {"eos_token_id": 7, "bos_token_id": 9, "model_type": "llama"},
                                               "generation_config.json": {"eos_token_id": [3, 4]}}),
    "vocab.json": ("bytes", of("GPT2Tokenizer"), None, {"vocab.json": {"a": 0}, "merges.txt": []}),
    # other files
    "class of config.json": ("bytes", {"tokenizer_class": DROP}, None, {"config.json": {"model_type": "qwen2", "tokenizer_class": "LlamaTokenizer"}}),
    "map without a decoder": ("bytes", {}, None, {"special_tokens_map.json": {"eos_token": "<tool>", "bos_token": "<|im_end|>"}}),
    "map without a decoder, pieces": ("pieces", OLD, None, {"special_tokens_map.json": {"eos_token": "<tool>", "bos_token": "<|im_end|>"}}),
    "map beside a decoder": ("bytes", decoder(_602=("<tool>",)), None, {"special_tokens_map.json": {"eos_token": "<tool>"}}),
    "map says null": ("bytes", of("Qwen2Tokenizer"), None, {"special_tokens_map.json": {"bos_token": None}}),
    "map written out": ("bytes", {}, None, {"special_tokens_map.json": {"eos_token": {
        "content": "<|endoftext|>", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}}}),
    "map with additional ones": ("bytes", {"additional_special_tokens": ["<tool>"]}, None,
                                 {"special_tokens_map.json": {"additional_special_tokens": ["<new>", "quick"]}}),
    "added_tokens.json": ("bytes", {}, None, {"added_tokens.json": {"<new>": 700, "<bos>": 650, "<tool>": 602}}),
    "added_tokens.json, the same id": ("bytes", {}, None, {"added_tokens.json": {"<new>": 602, "<eos>": 603, "<bos>": 604}}),
    "added_tokens.json beside a decoder": ("bytes", decoder(_604=("<bos>",)), None, {"added_tokens.json": {"<new>": 605}}),
    "added_tokens.json, named": ("bytes", {"eos_token": "<bos>"}, None, {"added_tokens.json": {"<bos>": 604}}),
    "added_tokens.json, a word": ("bytes", {}, None, {"added_tokens.json": {"quick": 604, "<new>": 605}}),
    "pad nobody has, tokenizer.model alone": ("pieces", {"pad_token": "<new>", "eos_token": "<tool>"}, None, {"tokenizer.json": DROP}),
    "clean-up, tokenizer.model alone": ("pieces", {"clean_up_tokenization_spaces": True}, None, {"tokenizer.json": DROP}),
    "map without a decoder, tokenizer.model alone": (
        "pieces", OLD, None, {"tokenizer.json": DROP, "special_tokens_map.json": {"eos_token": "<|im_end|>"},
                              "added_tokens.json": {"<tool>": 900, "<|im_end|>": 901}}),
    "added_tokens.json, pieces": ("pieces", OLD, None, {"added_tokens.json": {"<new>": 903, "<bos>": 902}}),
}


def write_case(original, folder, config, change=None, files={}):
    for file in original.iterdir():
        if file.name not in ("raw.model", "raw.vocab"):
            (folder / file.name).write_bytes(file.read_bytes())
    own = {**json.loads((folder / "tokenizer_config.json").read_text()), **config}
    (folder / "tokenizer_config.json").write_text(json.dumps({key: value for key, value in own.items() if value is not DROP}))
    if change:
        data = json.loads((folder / "tokenizer.json").read_text())
        change(data)
        (folder / "tokenizer.json").write_text(json.dumps(data))
    for name, content in files.items():
        if content is DROP:
            (folder / name).unlink()
        else:
            (folder / name).write_text(json.dumps(content) if name.endswith(".json") else "")


def texts(seed=9):
    rng = random.Random(seed)
    some = ["", " ", "a", " a", "the quick brown fox", " the  quick ", "He said : it 's n't so , is it ? no !"]
    return some + NAMED + ["".join(part + rng.choice(["", " ", "  "]) + rng.choice(NAMED) + rng.choice(["", " "])
                                   for part in rng.sample(some + ["don't stop", "foxquick", "é 日本"], 3)) for _ in range(40)]


REFUSED = {
    "eos nobody has": ("bytes", {"eos_token": "<new>"}, "eos_token is '<new>', which the tokenizer does not have"),
    "bos nobody has, pieces": ("pieces", {"bos_token": "<new>"}, "bos_token is '<new>', which the tokenizer does not have"),
    "no bos to add": ("bytes", {**of("LlamaTokenizer"), "bos_token": None}, "add_bos_token is true, but the token is not named"),
    "split": ("bytes", {"split_special_tokens": True}, "split_special_tokens is true, which is not supported"),
}


@pytest.fixture(scope="module")
def answers(probe, tmp_path_factory):
    """What the probe says of every case's folder: {name: (folder, answer)}. One process, since each takes a second to start."""
    originals = {kind: tmp_path_factory.mktemp(kind) for kind in WRITE}
    for kind, folder in originals.items():
        WRITE[kind](folder)
    folders = {}
    unknown = {"unknown class": ("bytes", {**of("NobodysTokenizer"), "add_bos_token": False, "added_tokens_decoder": {}})}
    for name, (kind, *case) in {**CASES, **unknown, **{name: case[:2] for name, case in REFUSED.items()}}.items():
        folders[name] = tmp_path_factory.mktemp("case")
        write_case(originals[kind], folders[name], *case)
    text = "\n".join(map(json.dumps, texts())) + "\n"
    lines = probe.run("compare_tokenizers", *folders.values(), stdin=text.encode()).stdout.splitlines()
    return {name: (folder, json.loads(line)) for (name, folder), line in zip(folders.items(), lines, strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_as_transformers(answers, name):
    folder, answer = answers[name]
    assert "error" not in answer, answer
    reference = transformers.AutoTokenizer.from_pretrained(folder)
    assert (answer["bos"], answer["eos"]) == (reference.bos_token_id, reference.eos_token_id)
    assert_same(lambda text: reference(text).input_ids, texts(), answer["ids"])
    assert_same(lambda ids: reference.decode(ids, skip_special_tokens=True), answer["ids"], answer["decoded"])


def test_an_unknown_class_leaves_all_to_tokenizer_json(answers):
    """transformers refuses it: it may be a class of a later release, or code of the model's."""
    assert answers["unknown class"][1] == answers["as it was"][1]


@pytest.mark.parametrize("name", REFUSED)
def test_refused(answers, name):
    folder, answer = answers[name]
    assert f"{folder}/tokenizer_config.json: {REFUSED[name][2]}" in answer["error"]
