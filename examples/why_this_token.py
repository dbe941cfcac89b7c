"""Why the model wrote this token: the candidates through every stage, and the number that was drawn."""

import cutaway

model = cutaway.load("smollm2-135m")
for step in model.generate("The robots will bring", max_new_tokens=5, temperature=0.8, top_k=20, seed=1):
    print(f"{step.text!r}  drawn with u = {step.u:.3f}")
    for candidate in step.candidates[:3]:
        print("   ", candidate)
    print("    attention of head 23.0:", step.trace["blocks.23.attn.pattern"][0, -1].round(2))
