import type { Core, Device, IommuDriver } from '@iommukit/core';
import type { HardwarePlace, Settings } from '@iommukit/kernel';
import { Atc, type Link, PageRequestInterface } from '@iommukit/pci-ats';
import { DmaEngineDriver } from './driver.js';
import { DmaEngine } from './endpoint.js';
import { JobRunner } from './job-runner.js';
import { MemoryPort } from './memory-port.js';
import { RegisterFile } from './register-file.js';
import { IDENTITY } from './registers.js';
import { switches } from './switches.js';

/** What an engine is made of: a subclass of one of these classes changes one step. */
export interface EngineParts {
  readonly DmaEngine: typeof DmaEngine;
  readonly RegisterFile: typeof RegisterFile;
  readonly JobRunner: typeof JobRunner;
  readonly MemoryPort: typeof MemoryPort;
  readonly Atc: typeof Atc;
  readonly PageRequestInterface: typeof PageRequestInterface;
}

const engineParts: EngineParts = { DmaEngine, RegisterFile, JobRunner, MemoryPort, Atc, PageRequestInterface };

/** The engine as a machine plugs it in. */
export const dmaEngine = {
  model: 'dma-engine',
  parts: engineParts,
  create(place: HardwarePlace, link: Link, settings: Settings, parts: EngineParts = engineParts): DmaEngine {
    return new parts.DmaEngine(place, link, settings, parts);
  },
};

const hex = (id: number): string => id.toString(16).padStart(4, '0');

/** What the driver is made of. */
export interface EngineDriverParts {
  readonly DmaEngineDriver: typeof DmaEngineDriver;
}

const driverParts: EngineDriverParts = { DmaEngineDriver };

/** The engine's driver as a machine loads it. */
export const dmaEngineDriver = {
  matches: [`${hex(IDENTITY.vendorId)}:${hex(IDENTITY.deviceId)}`],
  parts: driverParts,
  switches,
  create(device: Device, iommu: IommuDriver, core: Core, parts: EngineDriverParts = driverParts): DmaEngineDriver {
    return new parts.DmaEngineDriver(device, iommu, core);
  },
};
