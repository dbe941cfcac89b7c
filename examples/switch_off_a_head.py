"""Which head carries the repetition? Switch each head of one block off and watch the prediction."""

import cutaway

model = cutaway.load("smollm2-135m")
text = "The robots will bring peace. The robots will bring"
best = model.trace(text).next_tokens(1)[0]
print(f"{best.token.text!r} has {best.probability:.1%}")

for head in range(model.config.n_head):
    with model.intervene({"blocks.23.attn.z": cutaway.zero(head=head)}) as edited:
        same = next(each for each in edited.trace(text).next_tokens(1000) if each.token.id == best.token.id)
        print(f"without head 23.{head}: {same.probability:.1%}")
