// SPDX-License-Identifier: Apache-2.0
package dev.halftone;

import static com.tngtech.archunit.base.DescribedPredicate.describe;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideOutsideOfPackages;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaMethodCall;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** The rules that the module descriptors cannot state. */
class ArchitectureTest {
    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
            .importPackages("dev.halftone");

    /** The only classes with a {@code main}. */
    private static final Set<String> MAINS = Set.of("dev.halftone.cli.Main", "dev.halftone.launcher.Launcher");

    /** What {@code serve}, which is asked and never asks, may know of the network: how addresses are written. */
    private static final Set<String> ADDRESSES =
            Set.of("java.net.InetAddress", "java.net.InetSocketAddress", "java.net.URI");

    /** The doors of {@code models} through which quantized networks come in. */
    private static final Set<String> QUANTIZED_DOORS =
            Set.of("dev.halftone.models.Zoo", "dev.halftone.models.Upscaler");

    @Test
    void everyModuleIsSeen() {
        for (String module : new String[] {"tensor", "nn", "quant", "models", "cli", "launcher"}) {
            assertThat(CLASSES.that(resideInAnyPackage("dev.halftone." + module + "..")))
                    .as(module)
                    .isNotEmpty();
        }
        assertThat(CLASSES.contain("dev.halftone.tensor.vector.VectorKernels")).isTrue();
    }

    @Test
    void onePackageImportsTheVectorApi() {
        noClasses()
                .that()
                .resideOutsideOfPackage("dev.halftone.tensor.vector")
                .should()
                .dependOnClassesThat()
                .resideInAPackage("jdk.incubator.vector..")
                .because("the Vector API still incubates, and machines without it run the scalar kernels")
                .check(CLASSES);
    }

    @Test
    void tensorsAndNetworksKnowNothingOfImagesInTheJdk() {
        noClasses()
                .that()
                .resideInAnyPackage("dev.halftone.tensor..", "dev.halftone.nn..", "dev.halftone.quant..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("java.awt..", "javax.imageio..", "javax.swing..")
                .check(CLASSES);
    }

    @Test
    void nothingUsesTheNetwork() {
        noClasses()
                .that(resideOutsideOfPackages("dev.halftone.launcher"))
                .should()
                .dependOnClassesThat(describe(
                        "connect", c -> c.getPackageName().startsWith("java.net") && !ADDRESSES.contains(c.getName())))
                .orShould()
                .dependOnClassesThat()
                .haveNameMatching("java\\.nio\\.channels\\..*(Socket|Datagram).*")
                .because("no command downloads anything (the launcher's java.net is its class path's URLs)")
                .check(CLASSES);
    }

    @Test
    void onlyMainsEndTheJvm() {
        noClasses()
                .that(describe("are no mains", c -> !MAINS.contains(c.getName())))
                .should()
                .callMethodWhere(describe("the JVM ends", ArchitectureTest::endsTheJvm))
                .check(CLASSES);
    }

    private static boolean endsTheJvm(JavaMethodCall call) {
        String owner = call.getTargetOwner().getName();
        return owner.equals("java.lang.System") && call.getName().equals("exit")
                || owner.equals("java.lang.Runtime") && Set.of("exit", "halt").contains(call.getName());
    }

    @Test
    void networksKnowNothingOfQuantization() {
        DescribedPredicate<JavaClass> networks = describe(
                "are in models, but neither Zoo nor Upscaler",
                c -> c.getPackageName().startsWith("dev.halftone.models")
                        && !QUANTIZED_DOORS.contains(outermost(c).getName()));
        noClasses()
                .that(networks)
                .should()
                .dependOnClassesThat()
                .resideInAPackage("dev.halftone.quant..")
                .check(CLASSES);
    }

    private static JavaClass outermost(JavaClass c) {
        return c.getEnclosingClass().map(ArchitectureTest::outermost).orElse(c);
    }

    @Test
    void packagesHaveNoCycles() {
        // The provider is where the interfaces meet their implementations: its one constructor call is no layering.
        slices().matching("dev.halftone.(**)")
                .should()
                .beFreeOfCycles()
                .ignoreDependency(
                        "dev.halftone.tensor.kernels.KernelProvider", "dev.halftone.tensor.vector.VectorKernels")
                .check(CLASSES);
    }
}
