import { column } from './column.js';
import { smmuv3Candidate } from './smmuv3.js';

column(() => smmuv3Candidate());
