/** What Gantry does with the fields of a pod, outside its containers. */
import type { ObjectMeta, Pod, PodSecurityContext, PodSpec, TemplateMeta, Volume } from "../schema/index.ts";
import { claimSpecRules } from "./claim.ts";
import { containerRules, resourceKeys, windowsOptions } from "./container.ts";
import { type ByPattern, type Fields, later, noApiServer, noEffect, oneNode, only } from "./rules.ts";

export const serverWrites = noEffect("Gantry sets it itself");

/** metadata; what only a server writes is taken out of an object before, with the same warning: server-fields.ts. */
export const metadataRules: Fields<ObjectMeta> = {
  annotations: "supported",
  creationTimestamp: serverWrites,
  deletionGracePeriodSeconds: serverWrites,
  deletionTimestamp: serverWrites,
  finalizers: noApiServer,
  generateName: noEffect("the object has a name"),
  generation: serverWrites,
  labels: "supported",
  managedFields: serverWrites,
  name: "supported",
  namespace: "supported",
  ownerReferences: noApiServer,
  resourceVersion: serverWrites,
  selfLink: serverWrites,
  uid: serverWrites,
};

/** seccomp.security.alpha.kubernetes.io/pod, and …/NAME for one container: Kubernetes dropped them in 1.27. */
const SECCOMP_ANNOTATION = /^(container\.)?seccomp\.security\.alpha\.kubernetes\.io\//;

const podAnnotations: ByPattern = {
  except: SECCOMP_ANNOTATION,
  named: "seccomp.security.alpha.kubernetes.io/…",
  otherwise: noEffect("Kubernetes dropped it in 1.27; use securityContext.seccompProfile"),
};

/** metadata of a template: the pods get names of their own, in the namespace of whoever makes them. */
export const templateMetadataRules: Fields<TemplateMeta> = {
  ...metadataRules,
  annotations: podAnnotations,
  name: noEffect("pods made from a template get names of their own"),
  namespace: noEffect("pods are made in the namespace of their owner"),
};

const securityContext: Fields<PodSecurityContext> = {
  appArmorProfile: "supported",
  fsGroup: "supported",
  fsGroupChangePolicy: "supported",
  runAsGroup: "supported",
  runAsNonRoot: "supported",
  runAsUser: "supported",
  seLinuxChangePolicy: "supported",
  seLinuxOptions: "supported",
  seccompProfile: "supported",
  supplementalGroups: "supported",
  supplementalGroupsPolicy: "supported",
  sysctls: "supported",
  windowsOptions,
};

const foreign = { refused: "Gantry does not mount volumes of storage systems; mount it on the host and use hostPath" };

const noToken = { refused: "pods here talk to no API server, so there is none to project" };

const volumes: Fields<Volume> = {
  awsElasticBlockStore: foreign,
  azureDisk: foreign,
  azureFile: foreign,
  cephfs: foreign,
  cinder: foreign,
  configMap: "supported",
  csi: foreign,
  downwardAPI: "supported",
  emptyDir: {
    fields: { medium: only(["", "Memory"], "an emptyDir of huge pages is not supported"), sizeLimit: "supported" },
  },
  ephemeral: {
    fields: { volumeClaimTemplate: { fields: { metadata: "supported", spec: { fields: claimSpecRules } } } },
  },
  fc: foreign,
  flexVolume: foreign,
  flocker: foreign,
  gcePersistentDisk: foreign,
  gitRepo: foreign,
  glusterfs: foreign,
  hostPath: "supported",
  image: "supported",
  iscsi: foreign,
  name: "supported",
  nfs: foreign,
  persistentVolumeClaim: "supported",
  photonPersistentDisk: foreign,
  portworxVolume: foreign,
  projected: {
    fields: {
      defaultMode: "supported",
      sources: {
        fields: {
          clusterTrustBundle: noToken,
          configMap: "supported",
          downwardAPI: "supported",
          podCertificate: noToken,
          secret: "supported",
          serviceAccountToken: {
            refused: `${noToken.refused}; the volume kube-api-access-… of an exported pod goes as a whole`,
          },
        },
      },
    },
  },
  quobyte: foreign,
  rbd: foreign,
  scaleIO: foreign,
  secret: "supported",
  storageos: foreign,
  vsphereVolume: foreign,
};

export const podSpecRules: Fields<PodSpec> = {
  activeDeadlineSeconds: "supported",
  affinity: oneNode,
  automountServiceAccountToken: noApiServer,
  containers: { fields: containerRules({ refused: "only init containers may have a restartPolicy of their own" }) },
  dnsConfig: "supported",
  dnsPolicy: "supported",
  enableServiceLinks: "supported",
  ephemeralContainers: { refused: "a manifest can't have ephemeral containers; use gantry exec" },
  hostAliases: "supported",
  hostIPC: "supported",
  hostNetwork: "supported",
  hostPID: "supported",
  hostUsers: "supported",
  hostname: "supported",
  hostnameOverride: "supported",
  imagePullSecrets: "supported",
  initContainers: { fields: containerRules("supported") },
  nodeName: oneNode,
  nodeSelector: oneNode,
  os: { fields: { name: only(["linux"], "Gantry runs Linux containers only") } },
  overhead: resourceKeys("cpu", "memory"),
  preemptionPolicy: { values: ["PreemptLowerPriority"], otherwise: oneNode },
  priority: "supported",
  priorityClassName: {
    values: ["system-cluster-critical", "system-node-critical"],
    otherwise: noEffect("PriorityClasses are not looked at; spec.priority says who is evicted first"),
  },
  readinessGates: noApiServer,
  resourceClaims: later("resource claims"),
  resources: {
    fields: {
      claims: later("resource claims"),
      limits: resourceKeys("cpu", "memory"),
      requests: resourceKeys("cpu", "memory"),
    },
  },
  restartPolicy: "supported",
  runtimeClassName: "supported",
  schedulerName: { values: ["default-scheduler"], otherwise: oneNode },
  schedulingGates: { refused: "nothing here would ever open a scheduling gate" },
  schedulingGroup: oneNode,
  securityContext: { fields: securityContext },
  serviceAccount: { values: ["default"], otherwise: noApiServer },
  serviceAccountName: { values: ["default"], otherwise: noApiServer },
  setHostnameAsFQDN: "supported",
  shareProcessNamespace: "supported",
  subdomain: "supported",
  terminationGracePeriodSeconds: "supported",
  tolerations: oneNode,
  topologySpreadConstraints: oneNode,
  volumes: { fields: volumes },
};

export const podRules: Fields<Pod> = {
  apiVersion: "supported",
  kind: "supported",
  metadata: { fields: { ...metadataRules, annotations: podAnnotations } },
  spec: { fields: podSpecRules },
};
