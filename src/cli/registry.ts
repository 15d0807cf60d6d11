import type { CommandSpec } from "./spec.ts";

export interface RegistryEntry {
  /** Under which heading `gantry --help` lists it; "" hides it. */
  readonly group: string;
  readonly summary: string;
  /** Read only when the command is called: that keeps every other one off the start-up time. */
  readonly load: () => Promise<CommandSpec>;
}

const LOOK = "See what runs:";
const CHANGE = "Change what runs:";
const CHECK = "Check before you change:";
const HOST = "This host:";

/** Every command, in the order of `gantry --help`. Summaries are here so that help need not load them all. */
export const COMMANDS: Readonly<Record<string, RegistryEntry>> = {
  status: {
    group: LOOK,
    summary: "What runs, and why not",
    load: async () => (await import("./commands/status.ts")).status,
  },
  describe: {
    group: LOOK,
    summary: "Everything about one pod, Deployment, Job …",
    load: async () => (await import("./commands/describe.ts")).describe,
  },
  logs: {
    group: LOOK,
    summary: "What a container printed",
    load: async () => (await import("./commands/logs.ts")).logs,
  },
  events: {
    group: LOOK,
    summary: "What happened, oldest first",
    load: async () => (await import("./commands/events.ts")).events,
  },
  top: {
    group: LOOK,
    summary: "How much CPU and memory pods and the node use",
    load: async () => (await import("./commands/top.ts")).top,
  },
  exec: {
    group: LOOK,
    summary: "Run a command in a container",
    load: async () => (await import("./commands/exec.ts")).exec,
  },
  attach: {
    group: LOOK,
    summary: "Join the app of a container",
    load: async () => (await import("./commands/attach.ts")).attach,
  },
  "port-forward": {
    group: LOOK,
    summary: "Reach ports of a pod from here",
    load: async () => (await import("./commands/port-forward.ts")).portForward,
  },
  cp: {
    group: LOOK,
    summary: "Copy files into a container, or out of one",
    load: async () => (await import("./commands/cp.ts")).cp,
  },
  apply: {
    group: CHANGE,
    summary: "Put manifests into the folder",
    load: async () => (await import("./commands/apply.ts")).apply,
  },
  delete: {
    group: CHANGE,
    summary: "Take pods out of the folder",
    load: async () => (await import("./commands/delete.ts")).deleteCommand,
  },
  restart: {
    group: CHANGE,
    summary: "Restart the containers of a pod",
    load: async () => (await import("./commands/restart.ts")).restart,
  },
  scale: {
    group: CHANGE,
    summary: "Say how many pods a Deployment or StatefulSet keeps",
    load: async () => (await import("./commands/scale.ts")).scale,
  },
  rollout: {
    group: CHANGE,
    summary: "See, undo, pause and resume changes of Deployments and their like",
    load: async () => (await import("./commands/rollout.ts")).rollout,
  },
  wait: {
    group: CHANGE,
    summary: "Wait until pods are ready, have succeeded or are gone",
    load: async () => (await import("./commands/wait.ts")).wait,
  },
  sync: {
    group: CHANGE,
    summary: "Follow Git repositories: what is merged is what runs",
    load: async () => (await import("./commands/sync.ts")).sync,
  },
  validate: {
    group: CHECK,
    summary: "Check manifests; needs no daemon",
    load: async () => (await import("./commands/validate.ts")).validate,
  },
  plan: {
    group: CHECK,
    summary: "Show what would change, and touch nothing",
    load: async () => (await import("./commands/plan.ts")).plan,
  },
  daemon: {
    group: HOST,
    summary: "Run the controller in the foreground",
    load: async () => (await import("./commands/daemon.ts")).daemon,
  },
  image: {
    group: HOST,
    summary: "Pull, list, check, import, export and remove images",
    load: async () => (await import("./commands/image.ts")).image,
  },
  volume: {
    group: HOST,
    summary: "List, describe and remove the volumes of claims",
    load: async () => (await import("./commands/volume.ts")).volume,
  },
  trust: {
    group: HOST,
    summary: "Say which images may run, and who must have signed them",
    load: async () => (await import("./commands/trust.ts")).trust,
  },
  secret: {
    group: HOST,
    summary: "Encrypt Secrets for the manifest folder, with age",
    load: async () => (await import("./commands/secret.ts")).secret,
  },
  doctor: {
    group: HOST,
    summary: "Check this host, and say how to mend it",
    load: async () => (await import("./commands/doctor.ts")).doctor,
  },
  config: {
    group: HOST,
    summary: "Show the settings in effect, and where each comes from",
    load: async () => (await import("./commands/config.ts")).config,
  },
  kubeconfig: {
    group: HOST,
    summary: "Make a kubeconfig, so that kubectl and other machines can talk to this Gantry",
    load: async () => (await import("./commands/kubeconfig.ts")).kubeconfig,
  },
  version: {
    group: HOST,
    summary: "Print the versions of gantry and of the daemon",
    load: async () => (await import("./commands/version.ts")).version,
  },
  completion: {
    group: HOST,
    summary: "Print a completion script for your shell",
    load: async () => (await import("./commands/completion.ts")).completion,
  },
  __complete: {
    group: "",
    summary: "What a half-typed command line can go on with, for the completion scripts",
    load: async () => (await import("./commands/complete.ts")).complete,
  },
};
