// Tests audits of models that are told the answer by the question.
import { testKnown } from '../helpers/known-verdicts.ts';

testKnown('redundant');
