import type { Live, Outcome, Scene } from "./contract.ts";
import { reconcileCronJob } from "./cronjob.ts";
import { reconcileDaemonSet } from "./daemonset.ts";
import { reconcileDeployment } from "./deployment.ts";
import type { Kept } from "./entries.ts";
import { reconcileJob } from "./job.ts";
import { reconcileReplicaSet } from "./replicaset.ts";
import { reconcileStatefulSet } from "./statefulset.ts";

/** What the controller of an object's kind makes of it; of what has none, nothing. Pure. */
export function run(me: Live<Kept>, scene: Scene): Outcome {
  const { object } = me;
  switch (object.kind) {
    case "Deployment":
      return reconcileDeployment({ ...me, object }, scene);
    case "ReplicaSet":
      return reconcileReplicaSet({ ...me, object }, scene);
    case "DaemonSet":
      return reconcileDaemonSet({ ...me, object }, scene);
    case "StatefulSet":
      return reconcileStatefulSet({ ...me, object }, scene);
    case "Job":
      return reconcileJob({ ...me, object }, scene);
    case "CronJob":
      return reconcileCronJob({ ...me, object }, scene);
    case "ControllerRevision":
    case "Service":
    case "Pod":
    case "PersistentVolumeClaim":
      return { deeds: [], status: me.status ?? {} };
  }
}
