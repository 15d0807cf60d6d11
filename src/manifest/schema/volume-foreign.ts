/** Volumes of storage systems and clouds. Known, so that they are told from a typo; none is mounted. */
import { z } from "zod";
import {
  maybeFlag,
  maybeInt,
  maybeQuantities,
  maybeText,
  maybeTextMap,
  maybeTexts,
  someText,
  text,
  texts,
} from "./fields.ts";
import { maybeLabelSelector, maybeLocalObjectReference } from "./meta.ts";

const disk = { fsType: maybeText, readOnly: maybeFlag };

/** Of a PersistentVolumeClaim. */
export const claimSpec = z.strictObject({
  accessModes: maybeTexts,
  dataSource: z.strictObject({ apiGroup: maybeText, kind: someText, name: someText }).optional(),
  dataSourceRef: z
    .strictObject({ apiGroup: maybeText, kind: someText, name: someText, namespace: maybeText })
    .optional(),
  resources: z.strictObject({ limits: maybeQuantities, requests: maybeQuantities }).optional(),
  selector: maybeLabelSelector,
  storageClassName: maybeText,
  volumeAttributesClassName: maybeText,
  volumeMode: maybeText,
  volumeName: maybeText,
});

export const foreignVolumeSources = {
  awsElasticBlockStore: z.strictObject({ ...disk, partition: maybeInt, volumeID: text }).optional(),
  azureDisk: z
    .strictObject({ ...disk, cachingMode: maybeText, diskName: text, diskURI: text, kind: maybeText })
    .optional(),
  azureFile: z.strictObject({ readOnly: maybeFlag, secretName: text, shareName: text }).optional(),
  cephfs: z
    .strictObject({
      monitors: texts,
      path: maybeText,
      readOnly: maybeFlag,
      secretFile: maybeText,
      secretRef: maybeLocalObjectReference,
      user: maybeText,
    })
    .optional(),
  cinder: z.strictObject({ ...disk, secretRef: maybeLocalObjectReference, volumeID: text }).optional(),
  csi: z
    .strictObject({
      ...disk,
      driver: text,
      nodePublishSecretRef: maybeLocalObjectReference,
      volumeAttributes: maybeTextMap,
    })
    .optional(),
  fc: z.strictObject({ ...disk, lun: maybeInt, targetWWNs: maybeTexts, wwids: maybeTexts }).optional(),
  flexVolume: z
    .strictObject({ ...disk, driver: text, options: maybeTextMap, secretRef: maybeLocalObjectReference })
    .optional(),
  flocker: z.strictObject({ datasetName: maybeText, datasetUUID: maybeText }).optional(),
  gcePersistentDisk: z.strictObject({ ...disk, partition: maybeInt, pdName: text }).optional(),
  gitRepo: z.strictObject({ directory: maybeText, repository: text, revision: maybeText }).optional(),
  glusterfs: z.strictObject({ endpoints: text, path: text, readOnly: maybeFlag }).optional(),
  iscsi: z
    .strictObject({
      ...disk,
      chapAuthDiscovery: maybeFlag,
      chapAuthSession: maybeFlag,
      initiatorName: maybeText,
      iqn: text,
      iscsiInterface: maybeText,
      lun: maybeInt,
      portals: maybeTexts,
      secretRef: maybeLocalObjectReference,
      targetPortal: text,
    })
    .optional(),
  nfs: z.strictObject({ path: text, readOnly: maybeFlag, server: text }).optional(),
  photonPersistentDisk: z.strictObject({ fsType: maybeText, pdID: text }).optional(),
  portworxVolume: z.strictObject({ ...disk, volumeID: text }).optional(),
  quobyte: z
    .strictObject({
      group: maybeText,
      readOnly: maybeFlag,
      registry: text,
      tenant: maybeText,
      user: maybeText,
      volume: text,
    })
    .optional(),
  rbd: z
    .strictObject({
      ...disk,
      image: text,
      keyring: maybeText,
      monitors: texts,
      pool: maybeText,
      secretRef: maybeLocalObjectReference,
      user: maybeText,
    })
    .optional(),
  scaleIO: z
    .strictObject({
      ...disk,
      gateway: text,
      protectionDomain: maybeText,
      secretRef: maybeLocalObjectReference,
      sslEnabled: maybeFlag,
      storageMode: maybeText,
      storagePool: maybeText,
      system: text,
      volumeName: maybeText,
    })
    .optional(),
  storageos: z
    .strictObject({ ...disk, secretRef: maybeLocalObjectReference, volumeName: maybeText, volumeNamespace: maybeText })
    .optional(),
  vsphereVolume: z
    .strictObject({ fsType: maybeText, storagePolicyID: maybeText, storagePolicyName: maybeText, volumePath: text })
    .optional(),
};
