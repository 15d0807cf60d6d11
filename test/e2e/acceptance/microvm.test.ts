import { playCases } from "./play.ts";

playCases("microvm");
