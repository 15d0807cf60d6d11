/** Security contexts of pods and containers. */
import { z } from "zod";
import { id, maybeFlag, maybeId, maybeText, maybeTexts, someText, text } from "./fields.ts";

const profileType = z.enum(["RuntimeDefault", "Unconfined", "Localhost"]);
const profile = z.strictObject({ localhostProfile: maybeText, type: profileType }).optional();

const seLinuxOptions = z
  .strictObject({ level: maybeText, role: maybeText, type: maybeText, user: maybeText })
  .optional();

const windowsOptions = z
  .strictObject({
    gmsaCredentialSpec: maybeText,
    gmsaCredentialSpecName: maybeText,
    hostProcess: maybeFlag,
    runAsUserName: maybeText,
  })
  .optional();

export const securityContext = z.strictObject({
  allowPrivilegeEscalation: maybeFlag,
  appArmorProfile: profile,
  capabilities: z.strictObject({ add: maybeTexts, drop: maybeTexts }).optional(),
  privileged: maybeFlag,
  procMount: z.enum(["Default", "Unmasked"]).optional(),
  readOnlyRootFilesystem: maybeFlag,
  runAsGroup: maybeId,
  runAsNonRoot: maybeFlag,
  runAsUser: maybeId,
  seLinuxOptions,
  seccompProfile: profile,
  windowsOptions,
});

export const podSecurityContext = z.strictObject({
  appArmorProfile: profile,
  fsGroup: maybeId,
  fsGroupChangePolicy: z.enum(["OnRootMismatch", "Always"]).optional(),
  runAsGroup: maybeId,
  runAsNonRoot: maybeFlag,
  runAsUser: maybeId,
  seLinuxChangePolicy: z.enum(["MountOption", "Recursive"]).optional(),
  seLinuxOptions,
  seccompProfile: profile,
  supplementalGroups: z.array(id).optional(),
  supplementalGroupsPolicy: z.enum(["Merge", "Strict"]).optional(),
  sysctls: z.array(z.strictObject({ name: someText, value: text })).optional(),
  windowsOptions,
});

export type SecurityContext = z.output<typeof securityContext>;
export type PodSecurityContext = z.output<typeof podSecurityContext>;
