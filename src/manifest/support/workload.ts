/** What Gantry does with the fields of objects that keep pods, and of Services. */
import type {
  CronJob,
  DaemonSet,
  Deployment,
  Job,
  JobSpec,
  PodTemplate,
  ReplicaSet,
  Service,
  StatefulSet,
} from "../schema/index.ts";
import { claimSpecRules } from "./claim.ts";
import { metadataRules, podSpecRules, serverWrites, templateMetadataRules } from "./pod.ts";
import { type Fields, later, noEffect, only } from "./rules.ts";

const head = { apiVersion: "supported", kind: "supported", metadata: { fields: metadataRules } } as const;

const template: Fields<PodTemplate> = {
  metadata: { fields: templateMetadataRules },
  spec: { fields: podSpecRules },
};

export const deploymentRules: Fields<Deployment> = {
  ...head,
  spec: {
    fields: {
      minReadySeconds: "supported",
      paused: "supported",
      progressDeadlineSeconds: "supported",
      replicas: "supported",
      revisionHistoryLimit: "supported",
      selector: "supported",
      strategy: "supported",
      template: { fields: template },
    },
  },
};

export const replicaSetRules: Fields<ReplicaSet> = {
  ...head,
  spec: {
    fields: {
      minReadySeconds: "supported",
      replicas: "supported",
      selector: "supported",
      template: { fields: template },
    },
  },
};

export const daemonSetRules: Fields<DaemonSet> = {
  ...head,
  spec: {
    fields: {
      minReadySeconds: "supported",
      revisionHistoryLimit: "supported",
      selector: "supported",
      template: { fields: template },
      updateStrategy: "supported",
    },
  },
};

export const statefulSetRules: Fields<StatefulSet> = {
  ...head,
  spec: {
    fields: {
      minReadySeconds: "supported",
      ordinals: "supported",
      persistentVolumeClaimRetentionPolicy: "supported",
      podManagementPolicy: "supported",
      replicas: "supported",
      revisionHistoryLimit: "supported",
      selector: "supported",
      serviceName: "supported",
      template: { fields: template },
      updateStrategy: {
        fields: {
          type: "supported",
          rollingUpdate: {
            fields: {
              partition: "supported",
              maxUnavailable: only([1], "pods of a StatefulSet are changed one by one"),
            },
          },
        },
      },
      volumeClaimTemplates: {
        fields: {
          apiVersion: "supported",
          kind: "supported",
          metadata: "supported",
          spec: { fields: claimSpecRules },
          status: serverWrites,
        },
      },
    },
  },
};

const jobSpec: Fields<JobSpec> = {
  activeDeadlineSeconds: "supported",
  backoffLimit: "supported",
  backoffLimitPerIndex: later("limits of single indexes"),
  completionMode: "supported",
  completions: "supported",
  managedBy: only(["kubernetes.io/job-controller"], "Gantry runs jobs by itself only"),
  manualSelector: { refused: "a Job finds its pods by itself" },
  maxFailedIndexes: later("limits of single indexes"),
  parallelism: "supported",
  podFailurePolicy: later("pod failure policies"),
  podReplacementPolicy: "supported",
  selector: { refused: "a Job finds its pods by itself" },
  successPolicy: later("success policies"),
  suspend: "supported",
  template: { fields: template },
  ttlSecondsAfterFinished: "supported",
};

export const jobRules: Fields<Job> = { ...head, spec: { fields: jobSpec } };

export const cronJobRules: Fields<CronJob> = {
  ...head,
  spec: {
    fields: {
      concurrencyPolicy: "supported",
      failedJobsHistoryLimit: "supported",
      jobTemplate: { fields: { metadata: { fields: templateMetadataRules }, spec: { fields: jobSpec } } },
      schedule: "supported",
      startingDeadlineSeconds: "supported",
      successfulJobsHistoryLimit: "supported",
      suspend: "supported",
      timeZone: "supported",
    },
  },
};

const noBalancer = noEffect(
  "there is no load balancer; publish ports with type: NodePort, or with hostPort in the pods",
);
const ipv4Only = "pods here have IPv4 addresses only";

export const serviceRules: Fields<Service> = {
  ...head,
  spec: {
    fields: {
      allocateLoadBalancerNodePorts: noBalancer,
      clusterIP: "supported",
      clusterIPs: "supported",
      externalIPs: { refused: "a Service has no addresses of other hosts; publish its ports with type: NodePort" },
      externalName: { refused: "names of other hosts are for the DNS of this network, or for hostAliases" },
      externalTrafficPolicy: "supported",
      healthCheckNodePort: noBalancer,
      internalTrafficPolicy: "supported",
      ipFamilies: only(["IPv4"], ipv4Only),
      ipFamilyPolicy: only(["SingleStack", "PreferDualStack"], ipv4Only),
      loadBalancerClass: noBalancer,
      loadBalancerIP: noBalancer,
      loadBalancerSourceRanges: noBalancer,
      ports: {
        fields: {
          appProtocol: "supported",
          name: "supported",
          nodePort: "supported",
          port: "supported",
          protocol: "supported",
          targetPort: "supported",
        },
      },
      publishNotReadyAddresses: "supported",
      selector: "supported",
      sessionAffinity: "supported",
      sessionAffinityConfig: noEffect("a client stays with its pod for as long as that is ready"),
      trafficDistribution: noEffect("there is only this node"),
      // ExternalName is refused by its name: validate/service.ts.
      type: {
        values: ["ClusterIP", "NodePort", "ExternalName"],
        otherwise: { warning: "is treated as ClusterIP: there is no load balancer here" },
      },
    },
  },
};
