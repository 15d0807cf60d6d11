/** The same object in another version of its group. Pure. */
import { type Fields, fieldsOf, isRecord, withField } from "./patch/plain.ts";

/** Where nothing is known to differ, versions only have other names. */
export function inVersion<T extends Fields>(object: T, apiVersion: string): T {
  if (object["apiVersion"] === apiVersion) return object;
  const renamed = { ...object, apiVersion };
  if (object["kind"] !== "HorizontalPodAutoscaler") return renamed;
  const spec = fieldsOf(object["spec"]);
  if (spec === undefined) return renamed;
  return { ...renamed, spec: apiVersion === "autoscaling/v1" ? withPercentage(spec) : withMetrics(spec) };
}

/** autoscaling/v1 knows one metric only. */
function withPercentage(spec: Fields): Fields {
  const { metrics, behavior: _behaviour, ...rest } = spec;
  const cpu = Array.isArray(metrics) ? metrics.find(isCpu) : undefined;
  const percentage = cpuPercentage(cpu);
  return percentage === undefined ? rest : { ...rest, targetCPUUtilizationPercentage: percentage };
}

function withMetrics(spec: Fields): Fields {
  const { targetCPUUtilizationPercentage: percentage } = spec;
  if (percentage === undefined || spec["metrics"] !== undefined) return spec;
  const target = { type: "Utilization", averageUtilization: percentage };
  const metrics = [{ type: "Resource", resource: { name: "cpu", target } }];
  return { ...withField(spec, "targetCPUUtilizationPercentage", undefined), metrics };
}

function isCpu(metric: unknown): boolean {
  const resource = isRecord(metric) ? fieldsOf(metric["resource"]) : undefined;
  return resource?.["name"] === "cpu" && cpuPercentage(metric) !== undefined;
}

function cpuPercentage(metric: unknown): unknown {
  const resource = isRecord(metric) ? fieldsOf(metric["resource"]) : undefined;
  return fieldsOf(resource?.["target"])?.["averageUtilization"];
}
