// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import dev.halftone.nn.Graph;
import dev.halftone.nn.optim.Trainer.Batch;
import dev.halftone.nn.optim.Trainer.Batches;
import dev.halftone.tensor.Compute;

/**
 * Training data whose targets are another network's outputs instead of photographs (knowledge distillation, Hinton et al. 2015, on
 * images). A photograph is one of many that reduce to the same input; a good network's answer is their average, so a student learns
 * from fewer patches what the teacher needed many for, and no more than the teacher knows.
 */
public final class TeacherBatches implements Batches {
    private final Compute compute;
    private final SuperResolutionNetwork teacher;
    private final Batches inputs;

    /**
     * Wraps training data.
     *
     * @param inputs whose targets are replaced
     */
    public TeacherBatches(Compute compute, SuperResolutionNetwork teacher, Batches inputs) {
        this.compute = compute;
        this.teacher = teacher;
        this.inputs = inputs;
    }

    @Override
    public Batch at(long step) {
        Batch batch = inputs.at(step);
        Graph graph = Graph.eager(compute);
        return new Batch(
                batch.input(),
                teacher.module().forward(graph.constant(batch.input())).tensor());
    }
}
