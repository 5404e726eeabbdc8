"""Chat formats against transformers' apply_chat_template, token for token, on the families' published templates."""
import json

import pytest

pytest.importorskip("transformers")
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaTokenizer, PreTrainedTokenizerFast

LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
    "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a "
    "helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + "
    "message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}")
# Qwen2.5's and Qwen3's without the branches for tools, which examples do not have.
QWEN2 = r"""{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
{%- else %}
    {{- '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant") %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}"""
QWEN3 = r"""{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\n<think>\n' + reasoning_content.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}"""
MISTRAL = r"""{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('After the optional system message, conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {%- if loop.first and system_message is defined %}
            {{- ' [INST] ' + system_message + '\n\n' + message['content'] + ' [/INST]' }}
        {%- else %}
            {{- ' [INST] ' + message['content'] + ' [/INST]' }}
        {%- endif %}
    {%- elif message['role'] == 'assistant' %}
        {{- ' ' + message['content'] + eos_token}}
    {%- else %}
        {{- raise_exception('Only user and assistant roles are supported, with the exception of an initial optional system message!') }}
    {%- endif %}
{%- endfor %}"""


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


SYSTEM = {"role": "system", "content": " Answer briefly.\n"}
CHATS = [
    [user("What is 12 + 30?")],
    [SYSTEM, user("Où est la gare? 火车站在哪里 🦢")],
    [user("  leading, trailing \t\n\n"), assistant(" an answer \n"), user("more")],
    [SYSTEM, user("one"), assistant("two"), user("three"), assistant("four"), user("")],
]
FREE_CHATS = [  # orders of roles that only some formats show
    [SYSTEM],
    [user("a"), user("b"), SYSTEM],
    [SYSTEM, SYSTEM, user("b"), assistant("said")],
]
CORPUS = ["What is the answer? system user assistant\n\n[INST] a b [/INST] Où est la gare 12 30 the of and to in"] * 20


def byte_level_folder(folder, specials, template, bos, eos, plain_added=()):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=420, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.add_tokens(list(plain_added))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos)
    fast.chat_template = template
    fast.save_pretrained(folder)
    return fast


FORMATS = {
    "chatml": (["<|im_start|>", "<|im_end|>"], SMOLLM2, "<|im_start|>", "<|im_end|>", (), {}),
    "llama3": (["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], LLAMA3,
               "<|begin_of_text|>", "<|eot_id|>", (), {}),
    "qwen2": (["<|im_start|>", "<|im_end|>"], QWEN2, None, "<|im_end|>", (), {}),
    "qwen3": (["<|im_start|>", "<|im_end|>"], QWEN3, None, "<|im_end|>", ("<think>", "</think>"), {}),
    "qwen3_nothink": (["<|im_start|>", "<|im_end|>"], QWEN3, None, "<|im_end|>", ("<think>", "</think>"),
                      {"enable_thinking": False}),
    "mistral": (["<s>", "</s>"], MISTRAL, "<s>", "</s>", (), {}),
}


def ours(probe, folder, form, chats):
    lines = "".join(json.dumps(chat) + "\n" for chat in chats).encode()
    return [json.loads(line) for line in probe.run("prompt", folder, form, stdin=lines).stdout.splitlines()]


def reference(tokenizer, chats, options):
    return [tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, **options) for chat in chats]


@pytest.mark.parametrize("form", FORMATS)
def test_equal_to_apply_chat_template(probe, tmp_path, form):
    specials, template, bos, eos, added, options = FORMATS[form]
    tokenizer = byte_level_folder(tmp_path, specials, template, bos, eos, added)
    chats = CHATS + ([] if form == "mistral" else FREE_CHATS)
    expected = reference(tokenizer, chats, options)
    assert ours(probe, tmp_path, form, chats) == expected
    if not options:
        assert ours(probe, tmp_path, "auto", chats) == expected


def place_template(folder, template, place):
    """The model's template where transformers of today, of yesterday, and with several of them would have it."""
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    if place == "file":
        config["chat_template"] = "an older one"
        (folder / "chat_template.jinja").write_text(template)
    else:
        several = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": template}]
        config["chat_template"] = several if place == "named" else template
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("place", ["file", "config", "named"])
def test_auto_takes_the_models_own_template(probe, tmp_path, place):
    tokenizer = byte_level_folder(tmp_path, *FORMATS["qwen2"][:4])
    place_template(tmp_path, QWEN2, place)
    assert ours(probe, tmp_path, "auto", CHATS) == reference(tokenizer, CHATS, {})


UNKNOWN = {
    "Llama 3.1": LLAMA3 + "{{ 'Cutting Knowledge Date: December 2023' }}",
    "Gemma": "{{ '<start_of_turn>user' }}",
    "ChatML's markers": QWEN2.replace("You are Qwen, created by Alibaba Cloud. ", ""),
    "another Mistral's": MISTRAL.replace("' [INST] '", "'[INST] '"),
    "none that is known": "{% for m in messages %}{{ m.content }}{% endfor %}",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_auto_refuses_what_is_not_known(probe, tmp_path, name):
    byte_level_folder(tmp_path, *FORMATS["llama3"][:4])
    place_template(tmp_path, UNKNOWN[name], "config")
    done = probe.run("prompt", tmp_path, "auto", stdin=b"", check=False)
    assert done.returncode == 2 and name in done.stderr.decode() and "chatml, llama3" in done.stderr.decode()


def test_another_format_than_the_models_own_is_told(probe, tmp_path):
    byte_level_folder(tmp_path, *FORMATS["qwen2"][:4])
    said = {}
    for template, form in [(QWEN2, "chatml"), (QWEN2, "qwen2"), (QWEN3, "qwen3_nothink"), (QWEN2, "{input}"), ("x", "chatml")]:
        place_template(tmp_path, template, "file")
        said[template, form] = probe.run("prompt", tmp_path, form, stdin=b"").stderr.decode()
    assert "not the model's own chat_template, which is Qwen2.5's" in said.pop((QWEN2, "chatml"))
    assert "none that is known" in said.pop(("x", "chatml"))
    assert set(said.values()) == {""}


@pytest.mark.parametrize("form", ["chatml", "llama3", "qwen2", "qwen3", "qwen3_nothink"])
def test_a_format_whose_markers_are_no_tokens_is_refused(probe, tmp_path, form):
    byte_level_folder(tmp_path, ["<s>", "</s>"], None, "<s>", "</s>")
    done = probe.run("prompt", tmp_path, form, stdin=b"", check=False)
    marker = "<|start_header_id|>" if form == "llama3" else "<|im_start|>"
    assert done.returncode == 2 and f"{form} format writes {marker}" in done.stderr.decode()


def test_qwen3_thoughts(probe, tmp_path):
    """Thoughts of earlier answers are dropped; <think> inside text would be a token to transformers, so no added token
    here."""
    specials, template, bos, eos, _, _ = FORMATS["qwen3"]
    tokenizer = byte_level_folder(tmp_path, specials, template, bos, eos)
    chats = [[user("a"), assistant("<think>\nhm\n</think>\n\nb"), user("c")],
             [user("a"), assistant("<think>x</think>b"), assistant("\n<think>\ny\n</think>\n\n\nd")],
             [user("<tool_response>a</tool_response>"), assistant("d"), assistant("e")],
             [user("q"), user("<tool_response>a</tool_response>"), assistant("d"), assistant("e")]]
    assert ours(probe, tmp_path, "qwen3", chats) == reference(tokenizer, chats, {})


def test_mistral_with_sentencepiece(probe, tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_prefix=str(tmp_path / "tokenizer"), model_type="bpe", vocab_size=330,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, character_coverage=1.0, minloglevel=2)
    config = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
              "add_bos_token": True, "add_eos_token": False, "legacy": True, "chat_template": MISTRAL}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = LlamaTokenizer.from_pretrained(tmp_path)
    assert ours(probe, tmp_path, "mistral", CHATS) == reference(tokenizer, CHATS, {})


def test_smollm2_with_the_template_in_its_own_file(probe, smollm2):
    gguf = pytest.importorskip("gguf")
    fields = gguf.GGUFReader(smollm2).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.add_special_tokens([token for token, kind in zip(tokens, types) if kind == gguf.TokenType.CONTROL])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    fast.chat_template = fields["tokenizer.chat_template"].contents()
    chats = CHATS + FREE_CHATS
    for form in ["chatml", "auto"]:
        assert ours(probe, smollm2, form, chats) == reference(fast, chats, {})


def test_markers_inside_an_examples_text_stay_text(probe, tmp_path):
    specials, template, bos, eos, added, _ = FORMATS["chatml"]
    tokenizer = byte_level_folder(tmp_path, specials, template, bos, eos, added)
    plain, evil = ours(probe, tmp_path, "chatml", [[user("x")], [user("<|im_end|>")]])
    for marker in specials:
        assert evil.count(tokenizer.convert_tokens_to_ids(marker)) == plain.count(tokenizer.convert_tokens_to_ids(marker))
    assert "<|im_end|><|im_end|>" in tokenizer.decode(evil)
