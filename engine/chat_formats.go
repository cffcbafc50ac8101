package engine

import (
	"maps"
	"slices"
	"strings"
)

// chatFormats are templates by the name under which the field knows them, for
// models whose file has no template, or has such a name in its place.
//
// Sources: the model cards of each; the names are llama.cpp's.
var chatFormats = map[string]string{
	"llama2": leadingSystem + `
{%- for m in messages %}
  {%- if m.role == 'user' %}
    {{- bos_token + '[INST] ' }}
    {%- if loop.first and system %}{{- '<<SYS>>\n' + system + '\n<</SYS>>\n\n' }}{%- endif %}
    {{- m.content | trim + ' [/INST]' }}
  {%- else %}{{- ' ' + m.content | trim + ' ' + eos_token }}{%- endif %}
{%- endfor %}`,

	"llama3": `
{%- for m in messages %}
  {{- '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}`,

	"chatml": `
{%- for m in messages %}
  {{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}`,

	"mistral-v1": leadingSystem + `
{{- bos_token }}
{%- for m in messages %}
  {%- if m.role == 'user' %}
    {{- ' [INST] ' }}
    {%- if loop.first and system %}{{- system + '\n\n' }}{%- endif %}
    {{- m.content + ' [/INST]' }}
  {%- else %}{{- ' ' + m.content + eos_token }}{%- endif %}
{%- endfor %}`,

	"mistral-v3": leadingSystem + `
{{- bos_token }}
{%- for m in messages %}
  {%- if m.role == 'user' %}
    {{- '[INST] ' }}
    {%- if loop.last and system %}{{- system + '\n\n' }}{%- endif %}
    {{- m.content + '[/INST]' }}
  {%- else %}{{- ' ' + m.content + eos_token }}{%- endif %}
{%- endfor %}`,

	"mistral-v7": `
{{- bos_token }}
{%- for m in messages %}
  {%- if m.role == 'system' %}{{- '[SYSTEM_PROMPT] ' + m.content + '[/SYSTEM_PROMPT]' }}
  {%- elif m.role == 'user' %}{{- '[INST] ' + m.content + '[/INST]' }}
  {%- else %}{{- ' ' + m.content + eos_token }}{%- endif %}
{%- endfor %}`,

	"zephyr": `
{%- for m in messages %}
  {{- '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\n' }}{%- endif %}`,

	"phi3": `
{%- for m in messages %}
  {{- '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\n' }}{%- endif %}`,

	"vicuna": `
{%- for m in messages %}
  {%- if m.role == 'system' %}{{- m.content + '\n\n' }}
  {%- elif m.role == 'user' %}{{- 'USER: ' + m.content + '\n' }}
  {%- else %}{{- 'ASSISTANT: ' + m.content + eos_token + '\n' }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- 'ASSISTANT:' }}{%- endif %}`,

	"deepseek": `
{%- for m in messages %}
  {%- if m.role == 'system' %}{{- m.content + '\n\n' }}
  {%- elif m.role == 'user' %}{{- 'User: ' + m.content + '\n\n' }}
  {%- else %}{{- 'Assistant: ' + m.content + eos_token }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- 'Assistant:' }}{%- endif %}`,

	// For models that know no conversations.
	"plain": `
{%- for m in messages %}
  {{- m.role + ': ' + m.content + '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- 'assistant:' }}{%- endif %}`,
}

// leadingSystem takes a system message that opens the conversation out of it.
const leadingSystem = `
{%- set system = '' %}
{%- if messages[0].role == 'system' %}
  {%- set system = messages[0].content | trim %}
  {%- set messages = messages[1:] %}
{%- endif %}`

// ChatFormats returns the names that [Model.SetChatTemplate] knows, sorted.
func ChatFormats() []string { return slices.Sorted(maps.Keys(chatFormats)) }

// guessChatFormat returns the name of the format of a model without a template:
// what its special tokens are made for, or else what its name says.
func guessChatFormat(name string, t *Tokenizer) string {
	all := func(texts ...string) bool {
		return !slices.ContainsFunc(texts, func(s string) bool { return !t.hasSpecial(s) })
	}
	switch {
	case all("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"):
		return "llama3"
	case all("<|im_start|>", "<|im_end|>"):
		return "chatml"
	case all("[SYSTEM_PROMPT]", "[INST]"):
		return "mistral-v7"
	case all("[INST]", "[/INST]"):
		return "mistral-v3"
	case all("<|user|>", "<|assistant|>", "<|end|>"):
		return "phi3"
	}
	name = strings.NewReplacer("-", "", " ", "", "_", "", ".", "").Replace(strings.ToLower(name))
	has := func(s string) bool { return strings.Contains(name, s) }
	switch {
	case has("llama2") && has("chat"):
		return "llama2"
	case has("mistral") && has("instruct"):
		return "mistral-v1"
	case has("zephyr"), has("tinyllama") && has("chat"):
		return "zephyr"
	case has("vicuna"):
		return "vicuna"
	case has("deepseek") && (has("chat") || has("instruct")):
		return "deepseek"
	}
	return "plain"
}
