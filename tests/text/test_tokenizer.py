"""Token ids against the tokenizers and sentencepiece packages."""
import json
import time

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from text.asking import ask, assert_same
from text.lines import lines

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def kinds():
    byte_level = pre_tokenizers.ByteLevel
    return {
        "gpt2": (None, byte_level(add_prefix_space=False), False),
        "gpt2-prefix": (None, byte_level(add_prefix_space=True), False),
        "llama3": (None, split(LLAMA3), True),
        "qwen2": (normalizers.NFC(), split(QWEN2), False),
        "smollm": (None, pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                  byte_level(add_prefix_space=False)]), False),
    }


def train(kind):
    normalizer, pre_tokenizer, ignore_merges = kinds()[kind]
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(lines(1500, seed=7), trainers.BpeTrainer(
        vocab_size=3000, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=False),
                                  AddedToken("<sep>", rstrip=True, special=True, normalized=True)])
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("foo", single_word=True),
                          AddedToken("<tool", normalized=False), AddedToken(" é", lstrip=True, rstrip=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A <|im_end|>", special_tokens=[(t, tokenizer.token_to_id(t)) for t in SPECIAL])
    return tokenizer


@pytest.fixture(scope="module", params=list(kinds()))
def trained(request, tmp_path_factory):
    tokenizer = train(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer, folder


def test_ten_thousand_lines(probe, trained):
    tokenizer, folder = trained
    texts = lines(10000, seed=1)
    start = time.monotonic()
    ids = ask(probe, "tokenize", folder, texts)
    assert time.monotonic() - start < 30  # a second or two on an idle machine
    assert_same(lambda text: tokenizer.encode(text, add_special_tokens=False).ids, texts, ids)


def mixed_with_tokens(count, seed):
    import random
    rng = random.Random(seed)
    tokens = SPECIAL + ["<mask>", "<sep>", "<tool_call>", "foo", "<tool", " é", "<|im_", "foobar", " foo. ", "\u00a0<mask>\n"]
    return ["".join(part + rng.choice(["", " ", "  \n"]) + rng.choice(tokens) + rng.choice(["", " ", "\t"])
                    for part in lines(rng.randrange(1, 3), seed + i)) for i in range(count)]


def test_added_tokens_in_markup(probe, trained):
    tokenizer, folder = trained
    texts = mixed_with_tokens(2000, seed=2)
    ids = ask(probe, "tokenize", folder, texts, "--markup", "--around")
    assert_same(lambda text: tokenizer.encode(text).ids, texts, ids)


def test_plain_text_never_yields_special_tokens(probe, trained):
    tokenizer, folder = trained
    texts = mixed_with_tokens(2000, seed=3)
    ids = ask(probe, "tokenize", folder, texts)
    tokenizer.encode_special_tokens = True
    try:
        assert_same(lambda text: tokenizer.encode(text, add_special_tokens=False).ids, texts, ids)
    finally:
        tokenizer.encode_special_tokens = False


def test_pieces_are_one_text(probe, trained):
    tokenizer, folder = trained
    start, end = tokenizer.token_to_id("<|im_start|>"), tokenizer.token_to_id("<|im_end|>")

    def plain(text):
        tokenizer.encode_special_tokens = True
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        tokenizer.encode_special_tokens = False
        return ids

    pieces = [["<|im_start|>user\n", True], ["say <|im_start|> twice<|im_", False], ["end|><|im_end|>", True], ["\n", False]]
    (ids,) = ask(probe, "tokenize", folder, [pieces])
    assert ids == [start, *plain("user\nsay <|im_start|> twice<|im_end|>"), end, *plain("\n")]


def test_decode(probe, trained):
    tokenizer, folder = trained
    texts = lines(2000, seed=4)
    ids = [tokenizer.encode(text).ids for text in texts] + [[i] for i in range(tokenizer.get_vocab_size())] + [[10 ** 6]]
    assert ask(probe, "detokenize", folder, ids) == [tokenizer.decode(one) for one in ids]


def test_digest_follows_what_decides_ids(probe, tmp_path):
    tokenizer = train("gpt2")
    digests = set()
    for i, change in enumerate([lambda d: None, lambda d: d["model"]["merges"].reverse(),
                                lambda d: d["added_tokens"][-1].update(lstrip=False),
                                lambda d: d["pre_tokenizer"].update(add_prefix_space=True)]):
        data = json.loads(tokenizer.to_str())
        change(data)
        folder = tmp_path / str(i)
        folder.mkdir()
        (folder / "tokenizer.json").write_text(json.dumps(data))
        digests.add(probe.json("tokenizer", folder)["digest"])
    assert len(digests) == 4


def gguf_reference(path):
    """The tokenizer that tokenizer.ggml.pre = smollm names: single digits, then GPT-2's pattern."""
    gguf = pytest.importorskip("gguf")
    fields = gguf.GGUFReader(path).fields
    tokens, merges = fields["tokenizer.ggml.tokens"].contents(), fields["tokenizer.ggml.merges"].contents()
    assert fields["tokenizer.ggml.pre"].contents() == "smollm"
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges]))
    tokenizer.pre_tokenizer = kinds()["smollm"][1]
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([t for t, kind in zip(tokens, fields["tokenizer.ggml.token_type"].contents()) if kind == 3])
    return tokenizer


def test_smollm2_gguf(probe, smollm2):
    tokenizer = gguf_reference(smollm2)
    texts = lines(10000, seed=5) + ["<|im_start|>user\nHi 2024<|im_end|>\n"]
    ids = ask(probe, "tokenize", smollm2, texts, "--markup", "--around")
    assert_same(lambda text: tokenizer.encode(text, add_special_tokens=False).ids, texts, ids)
    assert ask(probe, "detokenize", smollm2, ids) == [tokenizer.decode(one) for one in ids]
    about = probe.json("tokenizer", smollm2)
    assert (about["size"], about["prefix"], about["eos"]) == (49152, [], 2)


def write_gguf(path, tokenizer, pre):
    gguf = pytest.importorskip("gguf")
    data = json.loads(tokenizer.to_str())
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    special = {token["content"] for token in data["added_tokens"] if token["special"]}
    added = {token["content"] for token in data["added_tokens"]}
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([3 if token in special else 4 if token in added else 1 for token, _ in vocabulary])
    writer.add_token_merges([" ".join(merge) for merge in data["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.token_to_id("<|im_start|>"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


@pytest.mark.parametrize("pre,kind", [("gpt-2", "gpt2"), ("llama-bpe", "llama3"), ("qwen2", "qwen2"), ("smollm", "smollm")])
def test_gguf_pre_tokenizers(probe, tmp_path, pre, kind):
    normalizer, pre_tokenizer, ignore_merges = kinds()[kind]
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(lines(800, seed=8), trainers.BpeTrainer(
        vocab_size=1500, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False)])
    path = tmp_path / "model.gguf"
    write_gguf(path, tokenizer, pre)
    texts = lines(2000, seed=9) + ["a<tool_call>b<|im_end|> c"]
    ids = ask(probe, "tokenize", path, texts, "--markup")
    assert_same(lambda text: tokenizer.encode(text, add_special_tokens=False).ids, texts, ids)
    assert probe.json("tokenizer", path)["prefix"] == ([1] if pre == "llama-bpe" else [])


def test_stories260k_json(probe, shared):
    folder = shared / "models" / "stories260K"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = lines(3000, seed=10) + ["", " ", "Once upon a time<s> there</s>"]
    ids = ask(probe, "tokenize", folder, texts, "--markup", "--around")
    assert_same(lambda text: tokenizer.encode(text).ids, texts, ids)
    assert ask(probe, "detokenize", folder, ids) == [tokenizer.decode(one) for one in ids]


def test_stories260k_model(probe, shared):
    sentencepiece = pytest.importorskip("sentencepiece")
    path = shared / "models" / "stories260K" / "tokenizer.model"
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    texts = lines(3000, seed=11)
    ids = ask(probe, "tokenize", path, texts)
    assert_same(processor.encode, texts, ids)
    about = probe.json("tokenizer", path)
    assert (about["prefix"], about["suffix"], about["eos"]) == ([1], [], 2)


def test_scored_gguf(probe, shared, tmp_path):
    gguf = pytest.importorskip("gguf")
    sentencepiece = pytest.importorskip("sentencepiece")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(shared / "models" / "stories260K" / "tokenizer.model"))
    count = processor.get_piece_size()
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list([processor.id_to_piece(i) for i in range(count)])
    writer.add_token_scores([processor.get_score(i) for i in range(count)])
    writer.add_token_types([2 if processor.is_unknown(i) else 3 if processor.is_control(i) else
                            6 if processor.is_byte(i) else 1 for i in range(count)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    texts = lines(2000, seed=12)
    assert_same(processor.encode, texts, ask(probe, "tokenize", path, texts))
    assert probe.json("tokenizer", path)["prefix"] == [1]


def test_llama_class_makes_its_own_rule(probe, shared, tmp_path):
    source = shared / "models" / "stories260K"
    (tmp_path / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    config = json.loads((source / "tokenizer_config.json").read_text())
    config.update(add_bos_token=False, add_eos_token=True)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    about = probe.json("tokenizer", tmp_path)
    assert (about["prefix"], about["suffix"]) == ([], [2])
