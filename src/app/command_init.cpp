// gaggle init [FOLDER]: a config to begin with.
#include "app/command.h"
#include "cluster/stop.h"
#include "workflow/first_config.h"

namespace gaggle {

Command init_command() {
  return {"init", "Write a first config for a model and tasks: what fits them and this machine, and why",
          [](CLI::App& parser) {
            const auto request = std::make_shared<FirstConfigRequest>();
            parser
                .add_option("FOLDER", request->folder,
                            "Where model and tasks are looked for, and gaggle.toml is written")
                ->default_str(".");
            parser
                .add_option("--model", request->model,
                            "The base model: a Hugging Face folder, a .gguf file, or a hub name in the local hub cache")
                ->option_text("MODEL");
            parser.add_option("--tasks", request->tasks, "Task files (.jsonl) or folders of them, by comma")
                ->option_text("FILE,FOLDER")
                ->delimiter(',')
                ->allow_extra_args(false);
            parser.add_option("--out", request->out, "Write the config to this file instead")->option_text("FILE");
            add_format(parser);
            return without_config(parser, [request] {
              watch_for_stop({}, 0);
              return print(first_config_page(*request));
            });
          },
          "gaggle init\ngaggle init my --model models/SmolLM2 --tasks tasks"};
}

}  // namespace gaggle
