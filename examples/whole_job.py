"""The whole job in a few lines: from interactions to measured guidance."""

import proactrec as pr

dataset = pr.load_dataset("demo")
interest, _ = pr.fit_graphau(dataset)
encoder, _ = pr.fit_encoder("iclrec", dataset, interest.item_vectors)
users = encoder.intent_vectors(encoder.sequences(dataset.before("train")))
intents = pr.fit_intents(users, 32, seed=0)
targets = pr.select_targets(dataset, "Science Fiction", *interest)
policy = pr.ITMPRec(encoder, intents)
world = pr.World(dataset, *interest, targets.item_idx, seed=0)
log = pr.rollout(policy, world, dataset, targets.item_idx).log
print(pr.evaluate(log, dataset)["metrics"]["ioi"]["20"])
