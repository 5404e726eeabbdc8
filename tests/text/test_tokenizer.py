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


TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?"
          r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
# As DeepSeek's tokenizer.json writes them; the first model lists cased letters.
CASED = ("A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
         "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5"
         "\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba"
         "\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45"
         "\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe"
         "\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102"
         "\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
         "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3"
         "\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06"
         "\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
         "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df"
         "\U0001e900-\U0001e943")
DEEPSEEK_LLM = ["[\r\n]", r"\s?[" + CASED + "]+", r"\s?[!-/:-~" + "\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
                r"\s+$", CJK, r"\p{N}"]
DEEPSEEK_CODER = ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, r"\p{N}"]
DEEPSEEK_V3 = [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
               "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
               "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"]
GGUF_ONLY = {"smaug": ([LLAMA3], False), "tekken": ([TEKKEN], True), "deepseek-llm": (DEEPSEEK_LLM, False),
             "deepseek-coder": (DEEPSEEK_CODER, False), "deepseek-v3": (DEEPSEEK_V3, False)}


def gguf_kind(kind):
    if kind not in GGUF_ONLY:
        return kinds()[kind]
    patterns, ignore_merges = GGUF_ONLY[kind]
    return None, pre_tokenizers.Sequence([*(pre_tokenizers.Split(Regex(p), "isolated") for p in patterns),
                                          pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), ignore_merges


@pytest.mark.parametrize("pre,kind", [
    ("gpt-2", "gpt2"), ("llama-bpe", "llama3"), ("falcon3", "llama3"), ("qwen2", "qwen2"), ("deepseek-r1-qwen", "qwen2"),
    ("smollm", "smollm"), ("smaug-bpe", "smaug"), ("tekken", "tekken"), ("deepseek-llm", "deepseek-llm"),
    ("deepseek-coder", "deepseek-coder"), ("deepseek-v3", "deepseek-v3")])
def test_gguf_pre_tokenizers(probe, tmp_path, pre, kind):
    normalizer, pre_tokenizer, ignore_merges = gguf_kind(kind)
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
    assert probe.json("tokenizer", path)["prefix"] == ([1] if pre in ("llama-bpe", "falcon3", "tekken") else [])


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
