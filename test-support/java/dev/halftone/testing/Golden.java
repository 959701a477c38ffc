// SPDX-License-Identifier: Apache-2.0
package dev.halftone.testing;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.Safetensors;
import dev.halftone.tensor.io.StoredTensor;
import dev.halftone.tensor.io.WeightFile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Golden numbers: {@code test-data/golden/NAME.safetensors}, computed by the reference implementations.
 *
 * <p>Tensor keys are {@code case/tensor}: {@code out} is the output, {@code grad_out} the upstream gradient, {@code grad.x} the
 * gradient of input {@code x}. The file's metadata maps a case to its attributes, among them the tolerance {@code tol_rel}. Layouts are
 * the reference's: NCHW feature maps, OIHW and [out, in] weights.
 */
public final class Golden {
    private static final JsonFactory JSON = new JsonFactory();

    private final String name;
    private final WeightFile file;

    private Golden(String name, WeightFile file) {
        this.name = name;
        this.file = file;
    }

    /** Opens {@code test-data/golden/NAME.safetensors}. */
    public static Golden open(String name) {
        return open(folder().resolve(name + ".safetensors"));
    }

    /** Opens a file that lies elsewhere. */
    public static Golden open(Path file) {
        try {
            return new Golden(file.getFileName().toString(), Safetensors.read(file));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Returns {@code test-data/golden}. */
    public static Path folder() {
        String root = System.getProperty("halftone.root");
        if (root == null) {
            throw new IllegalStateException("run the tests with -Dhalftone.root=the repository's root");
        }
        return Path.of(root, "test-data", "golden");
    }

    /** Returns the names of the cases (those with attributes and at least one tensor), in file order. */
    public List<String> cases() {
        return file.metadata().keySet().stream()
                .filter(c -> file.tensors().keySet().stream().anyMatch(k -> k.equals(c) || k.startsWith(c + "/")))
                .toList();
    }

    /** Returns the full keys of the tensors, in file order. */
    public List<String> keys() {
        return List.copyOf(file.tensors().keySet());
    }

    /** Returns the full keys of a case's tensors, in file order. */
    public List<String> keys(String caseName) {
        return keys().stream().filter(k -> k.startsWith(caseName + "/")).toList();
    }

    /** Tells whether there is a tensor with this full key. */
    public boolean has(String key) {
        return file.tensors().containsKey(key);
    }

    /** Returns a tensor as it is stored. */
    public StoredTensor stored(String key) {
        StoredTensor tensor = file.tensors().get(key);
        if (tensor == null) {
            throw new IllegalArgumentException(name + " has no " + key + "; it has " + file.tensors().keySet());
        }
        return tensor;
    }

    /** Returns a tensor as fp32, in the reference's layout. */
    public Tensor tensor(String key) {
        return stored(key).toTensor();
    }

    /** Returns the value of a tensor with one element. */
    public double scalar(String key) {
        double[] values = stored(key).toDoubles();
        if (values.length != 1) {
            throw new IllegalArgumentException(key + " has " + values.length + " elements");
        }
        return values[0];
    }

    /** Returns the attributes of a case: Boolean, Long, Double, String, List and Map values, null for JSON null. */
    public Map<String, Object> attributes(String caseName) {
        String json = file.metadata().get(caseName);
        if (json == null) {
            throw new IllegalArgumentException(name + " has no attributes for " + caseName + "; it has "
                    + file.metadata().keySet());
        }
        try (JsonParser parser = JSON.createParser(json)) {
            parser.nextToken();
            return object(parser);
        } catch (IOException e) {
            throw new UncheckedIOException(name + ": attributes of " + caseName, e);
        }
    }

    /** Returns a whole-number attribute. */
    public int integer(String caseName, String attribute) {
        return Math.toIntExact((Long) attribute(caseName, attribute));
    }

    /** Returns a number attribute. */
    public double number(String caseName, String attribute) {
        return ((Number) attribute(caseName, attribute)).doubleValue();
    }

    /** Returns a true-or-false attribute. */
    public boolean flag(String caseName, String attribute) {
        return (Boolean) attribute(caseName, attribute);
    }

    /** Returns a text attribute. */
    public String text(String caseName, String attribute) {
        return (String) attribute(caseName, attribute);
    }

    /** Returns a list of whole numbers. */
    public int[] integers(String caseName, String attribute) {
        return ((List<?>) attribute(caseName, attribute))
                .stream().mapToInt(n -> Math.toIntExact((Long) n)).toArray();
    }

    /** Returns a list of numbers. */
    public double[] numbers(String caseName, String attribute) {
        return ((List<?>) attribute(caseName, attribute))
                .stream().mapToDouble(n -> ((Number) n).doubleValue()).toArray();
    }

    /** Returns a list of texts. */
    public List<String> texts(String caseName, String attribute) {
        return ((List<?>) attribute(caseName, attribute)).stream().map(Object::toString).toList();
    }

    private Object attribute(String caseName, String attribute) {
        Object value = attributes(caseName).get(attribute);
        if (value == null) {
            throw new IllegalArgumentException(
                    caseName + " has no attribute " + attribute + "; it has " + attributes(caseName));
        }
        return value;
    }

    /** Returns the stated relative tolerance of a case. */
    public double tolerance(String caseName) {
        return number(caseName, "tol_rel");
    }

    /**
     * Checks a result against the tensor {@code case/tensor} at the case's stated tolerance: |actual - reference| is at most
     * {@code tol_rel * max|reference|}, for a gradient ({@code grad.} or {@code grad/}) {@code tol_rel * max(max|reference|,
     * max|grad_out|)}.
     *
     * @param actual in the reference's layout
     */
    public void assertClose(String key, Tensor actual) {
        assertClose(key, actual, tolerance(caseOf(key)));
    }

    /** As {@link #assertClose(String, Tensor)}, where the file states the tolerance elsewhere; 0 asks for equal values. */
    public void assertClose(String key, Tensor actual, double relativeTolerance) {
        Tensor expected = tensor(key);
        if (!expected.shape().equals(actual.shape())) {
            throw new AssertionError(name + " " + key + ": the shape is " + actual.shape() + " instead of " + expected.shape());
        }
        double scale = largest(expected);
        int tail = caseOf(key).length() + 1;
        String upstream = caseOf(key) + "/grad_out";
        if (key.startsWith("grad", tail) && !key.equals(upstream) && has(upstream)) {
            scale = Math.max(scale, largest(tensor(upstream)));
        }
        double bound = relativeTolerance * scale;
        double worst = -1;
        int worstAt = 0;
        for (int i = 0; i < expected.size(); i++) {
            float e = expected.array()[expected.offset() + i];
            float a = actual.array()[actual.offset() + i];
            double error = Float.compare(e, a) == 0 ? 0 : Math.abs((double) e - a);
            if (error > worst || Double.isNaN(error)) {
                worst = Double.isNaN(error) ? Double.POSITIVE_INFINITY : error;
                worstAt = i;
            }
        }
        if (worst > bound) {
            throw new AssertionError(String.format(
                    "%s %s: element %d of %s is %s instead of %s: off by %.3g, allowed is %.3g (%.1e of %.4g)",
                    name,
                    key,
                    worstAt,
                    expected.shape(),
                    actual.array()[actual.offset() + worstAt],
                    expected.array()[expected.offset() + worstAt],
                    worst,
                    bound,
                    relativeTolerance,
                    scale));
        }
    }

    private String caseOf(String key) {
        String longest = null;
        for (String c : file.metadata().keySet()) {
            if ((key.equals(c) || key.startsWith(c + "/")) && (longest == null || c.length() > longest.length())) {
                longest = c;
            }
        }
        if (longest == null) {
            int slash = key.indexOf('/');
            return slash < 0 ? key : key.substring(0, slash);
        }
        return longest;
    }

    private static double largest(Tensor tensor) {
        double largest = 0;
        for (float v : tensor.toArray()) {
            largest = Math.max(largest, Math.abs(v));
        }
        return largest;
    }

    private static Map<String, Object> object(JsonParser parser) throws IOException {
        Map<String, Object> values = new LinkedHashMap<>();
        while (!parser.nextToken().isStructEnd()) {
            String key = parser.currentName();
            parser.nextToken();
            values.put(key, value(parser));
        }
        return values;
    }

    private static Object value(JsonParser parser) throws IOException {
        return switch (parser.currentToken()) {
            case START_OBJECT -> object(parser);
            case START_ARRAY -> {
                List<Object> values = new ArrayList<>();
                while (!parser.nextToken().isStructEnd()) {
                    values.add(value(parser));
                }
                yield values;
            }
            case VALUE_NUMBER_INT -> parser.getLongValue();
            case VALUE_NUMBER_FLOAT -> parser.getDoubleValue();
            case VALUE_TRUE -> true;
            case VALUE_FALSE -> false;
            case VALUE_NULL -> null;
            default -> parser.getText();
        };
    }
}
