import { join } from "node:path";
import type { Config } from "../config/index.ts";
import { createNotifier } from "../notify/index.ts";
import type { NodeFacts, PodSupervisor } from "../pod/contract.ts";
import type { Reconciler } from "../reconcile/index.ts";
import { parseBytes } from "../secrets/index.ts";
import { GitSources, placePrefix } from "../source/git/index.ts";
import { startWebhook } from "../source/git/webhook.ts";
import type { StateStore } from "../store/contract.ts";
import type { Clock } from "../system/clock.ts";
import type { Logger } from "../system/log.ts";
import type { Paths } from "../system/paths.ts";
import type { EventRecorder } from "./events.ts";
import { podsOfSource, tellGitSources } from "./source-pods.ts";

export interface GitSourcesParts {
  readonly paths: Paths;
  readonly config: Config;
  readonly node: NodeFacts;
  readonly store: StateStore;
  readonly events: EventRecorder;
  readonly reconciler: Reconciler;
  readonly supervisor: PodSupervisor;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface WiredGitSources {
  readonly sources: GitSources;
  /** Once the reconciler drives pods: what happens to them is told to their sources, and webhooks are heard. */
  begin(): Promise<void>;
  close(): Promise<void>;
}

/** The Git sources, what they learn of their pods, and who is told how they get on. */
export function createGitSources(parts: GitSourcesParts): WiredGitSources {
  const { paths, config, node, store, events, reconciler, supervisor, clock, log } = parts;
  const ends = new AsyncDisposableStack();
  const notifier = createNotifier({ settings: config.notify, node: node.name, clock, log });
  ends.defer(() => notifier.close());
  const sources = new GitSources({
    etc: paths.etc,
    configured: config.sources,
    dir: join(paths.lib, "git"),
    store: store.sources,
    clock,
    log,
    random: Math.random,
    event: events.record,
    parse: (file, bytes) => parseBytes(file, bytes, config.secrets.age.keys),
    onResult: notifier.notify,
    check: (source, objects) => reconciler.check(placePrefix(source), objects),
    look: reconciler.lookAtSources,
    pods: (source) => podsOfSource(source, reconciler.desired(), supervisor.list(), reconciler.rollbackNote),
    deadlineMs: config.update.deadlineSeconds * 1000,
    settleMs: config.update.settleSeconds * 1000,
    attach: reconciler.addSource,
    detach: reconciler.removeSource,
  });
  return {
    sources,
    async begin() {
      ends.defer(supervisor.subscribe((change) => tellGitSources(sources, supervisor, change)));
      sources.podsChanged();
      if (config.webhook.listen === undefined) return;
      const webhook = await startWebhook({ listen: config.webhook.listen, sources, log });
      ends.defer(() => webhook.close());
    },
    close: () => ends.disposeAsync(),
  };
}
