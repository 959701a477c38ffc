// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import dev.halftone.nn.Child;
import dev.halftone.nn.Conv2d;
import dev.halftone.nn.MeanShift;
import dev.halftone.nn.Module;
import dev.halftone.nn.ResidualBlock;
import dev.halftone.nn.Site;
import dev.halftone.nn.Site.Region;
import dev.halftone.nn.Site.Role;
import dev.halftone.nn.StateDict;
import dev.halftone.nn.Trunk;
import dev.halftone.nn.Value;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.random.RandomGenerator;

/**
 * EDSR (Lim et al. 2017): subtract the mean, one convolution to features, residual blocks, a long skip, pixel-shuffle upsampling,
 * one convolution back to RGB, add the mean. All convolutions are 3x3. Parameter names are those of EDSR-PyTorch.
 *
 * <p>Input {@code [N, H, W, 3]} RGB in 0..255, output {@code [N, H scale, W scale, 3]}.
 */
public final class Edsr extends Module implements SuperResolutionNetwork {
    /** The mean of DIV2K's training images, as fractions of the range. */
    private static final float[] RGB_MEAN = {0.4488f, 0.4371f, 0.4040f};

    private final EdsrConfig config;
    private final Child subMean;
    private final Child head;
    private final List<Child> body = new ArrayList<>();
    private final Child bodyEnd;
    private final List<Child> upsampler = new ArrayList<>();
    private final int shuffle;
    private final Child tail;
    private final Child addMean;

    /** Creates the network with zero weights, to be loaded or {@link #initialize initialized}. */
    public Edsr(EdsrConfig config) {
        this.config = config;
        int f = config.features();
        subMean = child("sub_mean", new MeanShift(mean(-255)));
        head = child("head.0", new Conv2d(3, f, 3));
        for (int i = 0; i < config.blocks(); i++) {
            body.add(child(
                    "body." + i, new ResidualBlock(new Conv2d(f, f, 3), new Conv2d(f, f, 3), config.residualScale())));
        }
        bodyEnd = child("body." + config.blocks(), new Conv2d(f, f, 3));
        // x4 is x2 twice; the shuffles between the convolutions have no parameters, so the convolutions are 0 and 2.
        shuffle = config.scale() == 3 ? 3 : 2;
        for (int i = 0; i < (config.scale() == 4 ? 2 : 1); i++) {
            upsampler.add(child("tail.0." + 2 * i, new Conv2d(f, f * shuffle * shuffle, 3)));
        }
        tail = child("tail.1", new Conv2d(f, 3, 3));
        addMean = child("add_mean", new MeanShift(mean(255)));
    }

    private static float[] mean(float range) {
        float[] shift = RGB_MEAN.clone();
        for (int c = 0; c < shift.length; c++) {
            shift[c] *= range;
        }
        return shift;
    }

    /** Fills all weights with PyTorch's default initialisation. */
    public Edsr initialize(RandomGenerator random) {
        for (Child slot : descendants().values()) {
            if (slot.module() instanceof Conv2d conv) {
                conv.initialize(random, 1);
            }
        }
        return this;
    }

    @Override
    public Value forward(Value x) {
        Value features = head.forward(subMean.forward(x));
        Value y = features;
        for (Child block : body) {
            y = block.forward(y);
        }
        y = bodyEnd.forward(y).add(features);
        for (Child conv : upsampler) {
            y = conv.forward(y).pixelShuffle(shuffle);
        }
        return addMean.forward(tail.forward(y));
    }

    @Override
    public List<Site> sites() {
        List<Site> sites = new ArrayList<>();
        descendants().forEach((name, slot) -> {
            if (!name.endsWith("_mean") && !(slot.module() instanceof ResidualBlock)) {
                sites.add(new Site(name, Role.CONV, region(name, slot), slot));
            }
        });
        return sites;
    }

    @Override
    public Edsr warmStart(int scale, RandomGenerator random) {
        Edsr network = new Edsr(new EdsrConfig(config.blocks(), config.features(), scale, config.residualScale()))
                .initialize(random);
        StateDict.copyFitting(this, network);
        return network;
    }

    @Override
    public List<Child> blocks() {
        return List.copyOf(body);
    }

    @Override
    public List<Trunk> trunks() {
        List<Child> writers = new ArrayList<>(List.of(head));
        List<Child> readers = new ArrayList<>();
        for (Child block : body) {
            List<Child> convolutions = List.copyOf(block.module().children().values());
            readers.add(convolutions.getFirst());
            writers.add(convolutions.getLast());
        }
        // The body's end reads the stream, and what it writes is added to where the stream began.
        readers.add(bodyEnd);
        writers.add(bodyEnd);
        readers.add(upsampler.getFirst());
        return List.of(new Trunk(writers, readers));
    }

    private Region region(String name, Child slot) {
        if (slot == head) {
            return Region.HEAD;
        }
        if (slot == tail) {
            return Region.TAIL;
        }
        if (slot == bodyEnd) {
            return Region.BODY_END;
        }
        return name.startsWith("tail.") ? Region.UPSAMPLER : Region.BODY;
    }

    /** Returns the configuration. */
    public EdsrConfig config() {
        return config;
    }

    @Override
    public Module module() {
        return this;
    }

    @Override
    public int scale() {
        return config.scale();
    }

    @Override
    public int receptiveRadius() {
        // One pixel for each 3x3 convolution; the convolutions after a shuffle reach less far in low-resolution pixels,
        // rounded up.
        return 1 + 2 * config.blocks() + 1 + upsampler.size() + 1;
    }

    @Override
    public Map<String, String> metadata() {
        return config.metadata();
    }
}
