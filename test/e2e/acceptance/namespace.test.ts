import { playCases } from "./play.ts";

playCases("namespace");
