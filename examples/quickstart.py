"""What happens inside a language model on one sentence."""

import cutaway

model = cutaway.load("smollm2-135m")
trace = model.trace("Data visualization empowers users to")

print("pieces: ", [token.text for token in trace.tokens])
print("pattern:", trace["blocks.3.attn.pattern"].shape, "[head, q_pos, k_pos]")

for token, probability, logit in trace.next_tokens(5):
    print(f"{probability:6.1%}  {logit:6.2f}  {token.text!r}")

print(trace.explain("blocks.3.attn.qk_scaled", (5, 4, 2)))
