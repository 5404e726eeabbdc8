"""Conversations as hubs keep them: `messages` of {role, content}, ShareGPT's `conversations` of {from, value}."""

from task_text import Mistake

ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}
FORMS = {"messages": ("role", "content"), "conversations": ("from", "value")}


def chat_field(record, args):
    """The field of a record that holds a conversation; None where its fields are asked for by name or it has none."""
    if args.template or args.input_field or args.output_field or not isinstance(record, dict):
        return None
    return next((name for name in FORMS if isinstance(record.get(name), list) and "output" not in record), None)


def messages_of(record, name, where):
    """The messages, and "" or why the row is left out: gaggle's conversations end with the assistant's answer."""
    messages = []
    for said in record[name]:
        if not isinstance(said, dict):
            raise Mistake(f"{where}: an entry of {name} is not an object")
        role, text = next(((said[r], said.get(t)) for r, t in FORMS.values() if r in said), (None, None))
        if role not in ROLES:
            return [], f'with a message of the role "{role}"'
        if not isinstance(text, str):
            return [], "with a message that is not text"
        messages.append({"role": ROLES[role], "content": text})
    ends = messages and messages[-1]["role"] == "assistant" and len(messages) > 1
    return messages, "" if ends else "that do not end with an answer of the assistant"


def further_keys(record, name):
    """What a conversation's row says besides: passed over, and counted."""
    used = {name, "choices", "split", "id"}
    inside = {key for said in record[name] if isinstance(said, dict) for key in said
              if key not in {word for form in FORMS.values() for word in form}}
    return [key for key in record if key not in used] + [f"{name}.{key}" for key in sorted(inside)]
